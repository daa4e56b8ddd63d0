#include "gguf_header.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_folder.hpp"
#include "test_gguf.hpp"

namespace knap::models {
namespace {

using testing::HasSubstr;

TEST(GgufHeader, ReadsWhatAModelSaysOfItself) {
  const auto header = parse_gguf_header(small_gguf());
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->architecture, "llama");
  EXPECT_EQ(header->name, "Small \"one\"");
  EXPECT_EQ(header->quantisation, "Q4_K_M");
  EXPECT_EQ(header->context, 2'048U);
  EXPECT_EQ(header->attention.layers, 4U);
  EXPECT_EQ(header->attention.kv_heads, 2U);
  EXPECT_EQ(header->attention.head_size, 16U) << "64 dimensions over 4 heads";
  EXPECT_TRUE(header->has_chat_template);
}

TEST(GgufHeader, RefusesEveryCut) {
  const std::string whole = small_gguf();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto header = parse_gguf_header(std::string_view(whole).substr(0, length));
    ASSERT_FALSE(header) << length;
    EXPECT_EQ(header.error().code, ErrorCode::kCorruptData);
  }
}

TEST(GgufHeader, RefusesOtherVersionsAndLengthsBeyondTheFile) {
  std::string other = small_gguf();
  other[4] = 9;
  EXPECT_EQ(parse_gguf_header(other).error().code, ErrorCode::kUnsupported);
  std::string longer = small_gguf();
  longer[24] = longer[25] = longer[26] = '\x7f';  // the first key's length
  EXPECT_THAT(parse_gguf_header(longer).error().message, HasSubstr("entry 1 of"));
}

TEST(GgufHeader, AgreesWithTheCatalogueAboutTheShippedModel) {
  const auto file = installed_models_dir() / "smollm2-135m-instruct" / "model.gguf";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "smollm2-135m-instruct is not installed";
  const auto header = read_gguf_header(file);
  ASSERT_TRUE(header) << header.error().message;
  const auto catalogue = Catalogue::open({});
  const ModelSpec* spec = catalogue->find("smollm2-135m-instruct");
  EXPECT_EQ(header->context, spec->trained_context);
  EXPECT_EQ(header->attention.bytes_per_token(), spec->attention.bytes_per_token());
  EXPECT_EQ(header->quantisation, spec->quantisation);
}

}  // namespace
}  // namespace knap::models
