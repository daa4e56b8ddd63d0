#include "runner/passage_state.hpp"

#include "knap/base/bytes.hpp"

namespace knap::models::runner {
namespace {

constexpr std::uint64_t kMagic = 0x0A31564B50414E4BULL;  // "KNAPKV1\n"

Error corrupt(const char* what) {
  return make_error(ErrorCode::kCorruptData, std::string("the kept state of a passage ") + what);
}

}  // namespace

std::string write_passage_state(const PassageState& state, const Hash128& model) {
  ByteWriter out;
  out.value(kMagic);
  out.value(kPassageStateVersion);
  out.value(static_cast<std::uint32_t>(state.tokens.size()));
  out.value(model.high), out.value(model.low);
  out.value(state.text.high), out.value(state.text.low);
  out.value(static_cast<std::uint64_t>(state.bytes.size()));
  for (const Token token : state.tokens) out.value(token);
  out.raw(state.bytes);
  const Hash128 sum = hash128(out.bytes());
  out.value(sum.high), out.value(sum.low);
  return out.take();
}

Result<PassageState> read_passage_state(std::string_view file, const Hash128& model,
                                        const Hash128& text) {
  constexpr std::size_t kSumBytes = 16;
  if (file.size() < kSumBytes) return corrupt("is cut off");
  ByteReader tail(file.substr(file.size() - kSumBytes));
  const auto sum_high = tail.value<std::uint64_t>();
  const auto sum_low = tail.value<std::uint64_t>();
  const std::string_view body = file.substr(0, file.size() - kSumBytes);
  ByteReader in(body);
  if (in.value<std::uint64_t>() != kMagic) return corrupt("is no such file");
  if (in.value<std::uint32_t>() != kPassageStateVersion) return corrupt("is of another version");
  const auto count = in.value<std::uint32_t>();
  Hash128 of_model, of_text;
  of_model.high = in.value<std::uint64_t>(), of_model.low = in.value<std::uint64_t>();
  of_text.high = in.value<std::uint64_t>(), of_text.low = in.value<std::uint64_t>();
  const auto bytes = in.value<std::uint64_t>();
  if (!in.ok()) return corrupt("is cut off");
  if (of_model != model) return corrupt("is of another model");
  if (of_text != text) return corrupt("is of another text");
  if (count == 0 || count > kPassageTokensMax || bytes == 0 || bytes > kPassageBytesMax ||
      in.left() != count * sizeof(Token) + bytes)
    return corrupt("has a wrong length");
  if (hash128(body) != Hash128{sum_high, sum_low}) return corrupt("has a wrong checksum");
  PassageState state{.text = text, .tokens = std::vector<Token>(count), .bytes = {}};
  for (Token& token : state.tokens) {
    token = in.value<Token>();
    if (token < 0) return corrupt("holds a token that is none");
  }
  state.bytes = in.take(static_cast<std::size_t>(bytes));
  return state;
}

}  // namespace knap::models::runner
