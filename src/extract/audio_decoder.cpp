// knap-audio BEGIN_MS LENGTH_MS: a stretch of the recording on standard input as 16-bit samples,
// mono, 16 kHz, on standard output. Runs in the sandbox: libsndfile and what it uses read hostile
// bytes here, not in the server.
//
// Exit codes: 0 done, 2 wrong use, 3 no sound can be read from it.
#include <samplerate.h>
#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace {

constexpr int kWrongUse = 2;
constexpr int kNotReadable = 3;
constexpr int kRate = 16'000;
constexpr int kChannelsMax = 32;
constexpr int kRateMin = 1'000;
constexpr int kRateMax = 768'000;
constexpr std::int64_t kLengthMaxMs = 600'000;
constexpr std::size_t kStepFrames = 16'384;

std::int64_t number(const char* text) {
  const std::string_view view(text);
  std::int64_t value = -1;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  return error == std::errc() && end == view.data() + view.size() ? value : -1;
}

/// The mean of the channels.
void mix(std::span<const float> frames, std::size_t channels, std::span<float> mono) {
  for (std::size_t i = 0; i < mono.size(); ++i) {
    float sum = 0;
    for (std::size_t c = 0; c < channels; ++c) sum += frames[i * channels + c];
    const float mean = sum / static_cast<float>(channels);
    mono[i] = std::isfinite(mean) ? mean : 0.F;
  }
}

bool write_samples(std::span<const float> samples) {
  std::array<std::int16_t, 4'096> out{};
  for (std::size_t done = 0; done < samples.size();) {
    const std::size_t count = std::min(out.size(), samples.size() - done);
    for (std::size_t i = 0; i < count; ++i)
      out[i] = static_cast<std::int16_t>(
          std::lrintf(std::clamp(samples[done + i], -1.F, 1.F) * 32'767.F));
    if (std::fwrite(out.data(), sizeof out[0], count, stdout) != count) return false;
    done += count;
  }
  return true;
}

class Decoder {
 public:
  Decoder(SNDFILE* file, const SF_INFO& info)
      : file_(file), info_(info), converter_(nullptr, &src_delete) {}

  bool run(std::int64_t begin_ms, std::int64_t length_ms) {
    const std::int64_t first = begin_ms * info_.samplerate / 1'000;
    // Beyond the end there is nothing, and that is no fault.
    if (first > 0 && sf_seek(file_, first, SEEK_SET) < 0) return true;
    int error = 0;
    if (info_.samplerate != kRate) {
      converter_.reset(src_new(SRC_SINC_FASTEST, 1, &error));
      if (converter_ == nullptr) return false;
    }
    std::int64_t left = length_ms * info_.samplerate / 1'000;
    const auto channels = static_cast<std::size_t>(info_.channels);
    std::vector<float> frames(kStepFrames * channels);
    std::vector<float> mono(kStepFrames);
    while (left > 0) {
      const auto wanted = std::min<std::int64_t>(left, kStepFrames);
      const sf_count_t got = sf_readf_float(file_, frames.data(), wanted);
      if (got <= 0) break;
      left -= got;
      const auto count = static_cast<std::size_t>(got);
      mix(frames, channels, std::span(mono).first(count));
      if (!put(std::span(mono).first(count), got < wanted || left == 0)) return false;
    }
    return put({}, true);
  }

 private:
  bool put(std::span<const float> samples, bool last) {
    if (converter_ == nullptr) return write_samples(samples);
    std::array<float, kStepFrames> out{};
    while (true) {
      SRC_DATA data{};
      data.data_in = samples.data();
      data.input_frames = static_cast<long>(samples.size());
      data.data_out = out.data();
      data.output_frames = static_cast<long>(out.size());
      data.end_of_input = last ? 1 : 0;
      data.src_ratio = static_cast<double>(kRate) / info_.samplerate;
      if (src_process(converter_.get(), &data) != 0) return false;
      if (!write_samples(std::span(out).first(static_cast<std::size_t>(data.output_frames_gen))))
        return false;
      samples = samples.subspan(static_cast<std::size_t>(data.input_frames_used));
      if (samples.empty() && data.output_frames_gen < data.output_frames) return true;
    }
  }

  SNDFILE* const file_;
  const SF_INFO info_;
  std::unique_ptr<SRC_STATE, SRC_STATE* (*)(SRC_STATE*)> converter_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return kWrongUse;
  const std::int64_t begin = number(argv[1]);
  const std::int64_t length = number(argv[2]);
  if (begin < 0 || length <= 0 || length > kLengthMaxMs) return kWrongUse;
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> file(
      sf_open_fd(STDIN_FILENO, SFM_READ, &info, 0), &sf_close);
  if (file == nullptr || info.channels < 1 || info.channels > kChannelsMax ||
      info.samplerate < kRateMin || info.samplerate > kRateMax)
    return kNotReadable;
  // For whoever shows progress; of a stream without a length it is none, or a huge number.
  if (info.frames > 0 && info.frames < std::numeric_limits<std::int64_t>::max() / 1'000)
    static_cast<void>(std::fprintf(stderr, "whole_ms %lld\n",
                                   static_cast<long long>(info.frames * 1'000 / info.samplerate)));
  const bool done = Decoder(file.get(), info).run(begin, length);
  return std::fflush(stdout) == 0 && done ? 0 : kNotReadable;
}
