#include "runner/safetensors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string make_file(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  file += header;
  for (std::size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

Result<std::map<std::string, TensorEntry, std::less<>>> parse(const std::string& file) {
  return parse_safetensors_header(file, file.size());
}

TEST(Safetensors, ReadsWhatItIsGiven) {
  const TestFolder folder;
  std::string file = make_file(
      R"({"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
      R"("h":{"dtype":"F16","shape":[3],"data_offsets":[8,14]},)"
      R"("b":{"dtype":"BF16","shape":[1],"data_offsets":[14,16]}})",
      0);
  const float values[] = {1.5F, -2};
  const std::uint16_t halves[] = {0x3C00, 0xC000, 0x0001};
  const std::uint16_t brain = 0x3FC0;
  file.append(reinterpret_cast<const char*>(values), 8);
  file.append(reinterpret_cast<const char*>(halves), 6);
  file.append(reinterpret_cast<const char*>(&brain), 2);
  const auto tensors = Safetensors::open(folder.write("m.safetensors", file));
  ASSERT_TRUE(tensors) << tensors.error().message;
  EXPECT_THAT(*(*tensors)->read("w", std::vector<std::size_t>{1, 2}), ElementsAre(1.5F, -2.0F));
  EXPECT_THAT(*(*tensors)->read("h", std::vector<std::size_t>{3}),
              ElementsAre(1.0F, -2.0F, 0x1p-24F));
  EXPECT_THAT(*(*tensors)->read("b", std::vector<std::size_t>{1}), ElementsAre(1.5F));
  const std::vector<std::size_t> shape{1, 2};
  const auto rows = (*tensors)->rows("w", shape);
  ASSERT_TRUE(rows);
  std::vector<float> row(2);
  (*rows)(0, row);
  EXPECT_THAT(row, ElementsAre(1.5F, -2.0F));
  EXPECT_THAT((*tensors)->read("w", std::vector<std::size_t>{2, 1}).error().message,
              HasSubstr("another shape"));
  EXPECT_THAT((*tensors)->read("v", std::vector<std::size_t>{1}).error().message,
              HasSubstr("no tensor 'v'"));
}

TEST(Safetensors, RefusesLengthsThatDoNotFit) {
  EXPECT_FALSE(parse(""));
  EXPECT_FALSE(parse("1234567"));
  EXPECT_FALSE(parse(std::string(8, '\xFF')));                   // header of 2^64-1 bytes
  EXPECT_FALSE(parse(std::string("\x10\0\0\0\0\0\0\0{}", 10)));  // longer than the file
  EXPECT_FALSE(parse(make_file("[]", 0)));
  EXPECT_FALSE(parse(make_file("{\"a\":1}", 0)));
}

TEST(Safetensors, RefusesTensorsOutsideTheFile) {
  const auto with = [](const std::string& shape, const std::string& offsets) {
    return parse(make_file(
        R"({"w":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", 16));
  };
  EXPECT_TRUE(with("[4]", "[0,16]"));
  EXPECT_THAT(with("[5]", "[0,20]").error().message, HasSubstr("truncated"));
  EXPECT_FALSE(with("[4]", "[8,4]"));
  EXPECT_FALSE(with("[2]", "[0,16]"));
  EXPECT_FALSE(with("[4]", "[-1,15]"));
  EXPECT_FALSE(with("[4.0]", "[0,16]"));
  EXPECT_FALSE(with("[4611686018427387904,4611686018427387904]", "[0,16]"));
  EXPECT_FALSE(with("[1,1,1,1,1,1,1,1,4]", "[0,16]"));
  EXPECT_FALSE(with("[4]", "[0]"));
}

}  // namespace
}  // namespace knap::models::runner
