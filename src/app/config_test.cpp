#include "config.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config_edit.hpp"
#include "knap/base/file.hpp"

namespace knap::app {
namespace {

using testing::HasSubstr;

class ConfigTest : public testing::Test {
 protected:
  ConfigTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("knap_config_test_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
    environment_["HOME"] = folder_.string();
  }
  ~ConfigTest() override { std::filesystem::remove_all(folder_); }

  Result<Config> load(std::string_view yaml) {
    std::ofstream(folder_ / "knap.yaml") << yaml;
    command_line_.config_file = folder_ / "knap.yaml";
    return load_config(command_line_, environment_);
  }

  std::filesystem::path folder_;
  Environment environment_;
  CommandLine command_line_;
};

TEST_F(ConfigTest, DefaultsStandWithoutAnySource) {
  environment_["XDG_CONFIG_HOME"] = (folder_ / "none").string();
  const auto config = load_config(command_line_, environment_);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->server.port, 8000);
  EXPECT_EQ(config->data_dir, folder_ / ".local/share/knap");
}

TEST_F(ConfigTest, CommandLineBeatsEnvironmentBeatsFile) {
  environment_["KNAP_SERVER_PORT"] = "9001";
  environment_["KNAP_LOG_LEVEL"] = "error";
  command_line_.values.emplace_back("server.port", "9002");
  const auto config = load("server: {port: 9000, host: localhost}\nlog: {level: debug}\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->server.port, 9002);
  EXPECT_EQ(config->server.host, "localhost");
  EXPECT_EQ(config->log.level, "error");
  EXPECT_EQ(config->sources.at("server.port"), "command line");
  EXPECT_EQ(config->sources.at("log.level"), "environment");
  EXPECT_EQ(config->sources.at("server.host"), "file");
}

TEST_F(ConfigTest, AWrongKeyNamesItsLineAndTheNearestOne) {
  const auto config = load("server:\n  host: localhost\n  prot: 8000\n");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(config.error().message,
              HasSubstr("knap.yaml line 3: unknown key server.prot; did you mean server.port?"));
}

TEST_F(ConfigTest, AWrongValueSaysWhatIsAllowed) {
  EXPECT_THAT(load("server: {port: 70000}").error().message,
              HasSubstr("server.port is \"70000\", but must be a whole number from 0 to 65535"));
  EXPECT_THAT(load("log: {level: loud}").error().message,
              HasSubstr("one of debug, info, warning, error"));
  EXPECT_THAT(
      load("cache: {layers: [memory, ram]}").error().message,
      HasSubstr("cache.layers is \"ram\", but must be a list of any of memory, disk, redis"));
  EXPECT_THAT(load("index: {watch: maybe}").error().message, HasSubstr("true or false"));
  EXPECT_THAT(load("search: {dense_weight: nan}").error().message, HasSubstr("must be a number"));
  EXPECT_THAT(load("server: 3").error().message, HasSubstr("server is a section"));
  EXPECT_THAT(load("a: [").error().message, HasSubstr("not valid YAML"));
}

TEST_F(ConfigTest, AWrongVariableNamesTheNearestOne) {
  environment_["KNAP_SERVER_PROT"] = "1";
  EXPECT_THAT(
      load("").error().message,
      HasSubstr(
          "KNAP_SERVER_PROT: no such key in the section server; did you mean KNAP_SERVER_PORT?"));
}

TEST_F(ConfigTest, VaultsHaveNamesAndPathsRelativeToTheFile) {
  const auto config = load("vaults:\n  - name: a\n    path: notes\n  - /somewhere/b\n");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->vaults.size(), 2U);
  EXPECT_EQ(config->vaults[0].root, folder_ / "notes");
  EXPECT_EQ(config->vaults[1].name, "b");
  EXPECT_THAT(load("vaults: [x/a, y/a]").error().message, HasSubstr("two vaults are named a"));
}

TEST_F(ConfigTest, TildeIsTheHomeFolder) {
  const auto config = load("data: {dir: ~/data}\nvaults: [{name: n, path: ~/Notes}]\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->data_dir, folder_ / "data");
  EXPECT_EQ(config->vaults[0].root, folder_ / "Notes");
}

TEST_F(ConfigTest, CacheLayersAreChosenAndHaveLifetimes) {
  const auto config = load("cache: {layers: [disk], disk_seconds: 7, search_seconds: 0}");
  ASSERT_TRUE(config) << config.error().message;
  const auto options = cache_options(*config);
  ASSERT_TRUE(options);
  EXPECT_FALSE(options->memory);
  EXPECT_TRUE(options->disk);
  EXPECT_EQ(options->lifetimes.layer[index_of(cache::Layer::kDisk)], std::chrono::seconds(7));
  EXPECT_EQ(options->lifetimes.kind[index_of(cache::Kind::kSearch)], std::chrono::seconds(0));
  const auto shared = load("cache: {layers: [memory, redis_cluster], redis: {seconds: 9}}");
  ASSERT_TRUE(shared) << shared.error().message;
  const auto redis = cache_options(*shared);
  ASSERT_TRUE(redis && redis->redis);
  EXPECT_EQ(redis->redis->mode, cache::RedisMode::kCluster);
  EXPECT_EQ(redis->lifetimes.layer[index_of(cache::Layer::kRedis)], std::chrono::seconds(9));
  const auto none = load("cache: {layers: []}");
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE(cache_options(*none));
}

TEST_F(ConfigTest, RemoteModelsAreOffAndNotesMayBeKeptLocal) {
  const auto usual = load("models: {answer: ''}");
  ASSERT_TRUE(usual) << usual.error().message;
  EXPECT_EQ(usual->models.remote.url, "");
  EXPECT_THAT(usual->answer.local_only.tags, testing::ElementsAre("local-only"));
  const auto set = load(
      "models: {fallback: [a, b], remote: {shape: ollama, silence_ms: 900, price_read: 0.5, "
      "forbid: true, local_only_tags: [x, y], local_only_folders: ['v:']}}");
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_THAT(set->models.fallback, testing::ElementsAre("a", "b"));
  EXPECT_EQ(set->models.remote.silence_ms, 900);
  EXPECT_EQ(set->models.remote.price_read, 0.5);
  EXPECT_TRUE(set->models.remote.forbid);
  EXPECT_THAT(set->answer.local_only.tags, testing::ElementsAre("x", "y"));
  EXPECT_FALSE(load("models: {remote: {shape: grpc}}"));
}

TEST_F(ConfigTest, JudgedQuestionsAreWhereTheOwnerSaysOrInTheDataFolder) {
  const auto named = load("search: {judged_questions: mine.yaml}");
  ASSERT_TRUE(named) << named.error().message;
  EXPECT_EQ(judged_questions_file(*named), folder_ / "mine.yaml") << "beside the settings";
  EXPECT_EQ(judged_questions_file(*load("search: {judged_questions: ~/mine.yaml}")),
            folder_ / "mine.yaml");
  const auto usual = load("data: {dir: ~/data}");
  EXPECT_EQ(judged_questions_file(*usual), "");
  std::filesystem::create_directories(folder_ / "data");
  std::ofstream(folder_ / "data" / "judged.yaml") << "questions: []\n";
  EXPECT_EQ(judged_questions_file(*usual), folder_ / "data" / "judged.yaml");
}

TEST_F(ConfigTest, SecretsAreMasked) {
  const auto config = load("models: {remote: {key: hunter2}}");
  ASSERT_TRUE(config) << config.error().message;
  for (const auto& setting : describe(*config))
    EXPECT_THAT(setting.value_json, testing::Not(HasSubstr("hunter2")));
}

TEST_F(ConfigTest, EditingKeepsCommentsAndOrder) {
  const auto file = folder_ / "edit.yaml";
  std::ofstream(file)
      << "# mine\nmodels:\n    answer: a  # old\n    embed: b\nlog:\n    level: info\n";
  ASSERT_TRUE(set_in_config_file(file, "models", "answer", "c"));
  ASSERT_TRUE(set_in_config_file(file, "log", "format", "json"));
  EXPECT_EQ(
      read_file(file, 1000).value(),
      "# mine\nmodels:\n    answer: c\n    embed: b\nlog:\n    format: json\n    level: info\n");
}

}  // namespace
}  // namespace knap::app
