#include "knap/speech/speech.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>

#include <cstdlib>
#include <fstream>

#include "kept.hpp"
#include "knap/base/file.hpp"

namespace knap::speech {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

/// Hears a segment in each piece and says what it was given.
class FakeTranscriber final : public models::Transcriber {
 public:
  std::string id() const override { return "fake@1"; }
  std::vector<std::string> languages() const override { return {"*"}; }
  Result<models::Transcript> transcribe(const models::SpeechRequest& request, Deadline deadline,
                                        const CancelToken& cancel) override {
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    const milliseconds length(request.samples.size() / 16);
    lengths.push_back(length);
    languages_asked.push_back(request.language);
    careful.push_back(request.careful);
    if (failures > 0) {
      --failures;
      return make_error(ErrorCode::kUnavailable, "its process ended");
    }
    models::Transcript transcript;
    transcript.language = "de";
    transcript.consumed = request.last ? length : length - milliseconds(5'000);
    models::SpeechSegment segment;
    segment.text = "piece";
    segment.begin = milliseconds(100);
    segment.end = milliseconds(200);
    transcript.segments = {segment};
    if (after_piece) after_piece(lengths.size());
    return transcript;
  }
  std::vector<milliseconds> lengths;
  std::vector<std::string> languages_asked;
  std::vector<bool> careful;
  int failures = 0;
  std::function<void(std::size_t)> after_piece;
};

class FakeModels final : public models::Models {
 public:
  std::shared_ptr<models::Embedder> embedder() override { return nullptr; }
  std::shared_ptr<models::Embedder> embedder(std::string_view) override { return nullptr; }
  std::shared_ptr<models::Generator> generator() override { return nullptr; }
  std::shared_ptr<models::Generator> generator(std::string_view) override { return nullptr; }
  std::shared_ptr<models::Transcriber> transcriber() override { return speech; }
  std::shared_ptr<models::Transcriber> transcriber(std::string_view name) override {
    return name == "fake" ? speech : nullptr;
  }
  std::vector<models::ModelInfo> list() const override { return {}; }
  Status pull(std::string_view, const Progress&, const CancelToken&) override { return {}; }
  Status verify(std::string_view) override { return {}; }
  Status remove(std::string_view) override { return {}; }

  std::shared_ptr<FakeTranscriber> speech = std::make_shared<FakeTranscriber>();
};

/// Silence as a WAV file; the fake model hears something in it all the same.
std::string wav(std::uint32_t seconds) {
  const std::uint32_t bytes = seconds * 32'000;
  std::string out = "RIFF....WAVEfmt ";
  const auto put = [&](auto value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  put(std::uint32_t{16});
  put(std::uint16_t{1});
  put(std::uint16_t{1});
  put(std::uint32_t{16'000});
  put(std::uint32_t{32'000});
  put(std::uint16_t{2});
  put(std::uint16_t{16});
  out += "data";
  put(bytes);
  return out + std::string(bytes, '\0');
}

class SpeechTest : public testing::Test {
 protected:
  SpeechTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "knap-speech-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    open();
  }
  ~SpeechTest() override {
    speech_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  void open() {
    SpeechOptions options;
    options.dir = folder_ / "recordings";
    options.audio.decoder = KNAP_AUDIO_DECODER;
    options.audio.weak = extract::WeakSandbox::kAllow;
    options.threads = 2;
    speech_ = *Speech::open(options, models_, leases_, metrics_);
  }
  Result<Speech::Taken> take(const std::string& bytes, const Wish& wish = {}) {
    return speech_->take(bytes, "clip.wav", wish, Deadline::after(std::chrono::seconds(60)), {});
  }
  Result<Recording> hear(Speech::Taken taken, const Speech::OnProgress& on_progress = {}) {
    return speech_->hear(std::move(taken), Urgency::kNow, Deadline::after(std::chrono::seconds(60)),
                         {}, on_progress);
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& each : std::filesystem::directory_iterator(folder_ / "recordings"))
      names.push_back(each.path().extension().string());
    std::ranges::sort(names);
    return names;
  }

  std::filesystem::path folder_;
  FakeModels models_;
  service::ComputeLeases leases_{2};
  observe::Registry metrics_;
  std::unique_ptr<Speech> speech_;
};

TEST_F(SpeechTest, HearsAShortRecordingAndKeepsNothing) {
  auto taken = take(wav(5), {.language = "en"});
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_TRUE(taken->is_short);
  EXPECT_THAT(files(), ElementsAre(".sound"));
  const auto recording = hear(*std::move(taken));
  ASSERT_TRUE(recording) << recording.error().message;
  EXPECT_TRUE(recording->done);
  EXPECT_EQ(recording->position, milliseconds(5'000));
  EXPECT_EQ(recording->segments.size(), 1U);
  EXPECT_THAT(models_.speech->languages_asked, ElementsAre("en"));
  EXPECT_TRUE(files().empty());
}

TEST_F(SpeechTest, HearsALongRecordingPieceByPiece) {
  auto taken = take(wav(70));
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_FALSE(taken->is_short);
  std::vector<milliseconds> positions;
  const auto recording = hear(*std::move(taken), [&](const Recording& so_far) {
    positions.push_back(so_far.position);
    return true;
  });
  ASSERT_TRUE(recording) << recording.error().message;
  // What the model leaves is given to it again.
  EXPECT_THAT(positions,
              ElementsAre(milliseconds(25'000), milliseconds(50'000), milliseconds(70'000)));
  EXPECT_EQ(recording->segments[1].begin, milliseconds(25'100));
  // Heard once, told from then on.
  EXPECT_THAT(models_.speech->languages_asked, ElementsAre("", "de", "de"));
  EXPECT_THAT(files(), ElementsAre(".json"));
  EXPECT_EQ(speech_->find(recording->id)->segments.size(), 3U);
}

TEST_F(SpeechTest, GoesOnWhereItStopped) {
  auto taken = take(wav(70));
  ASSERT_TRUE(taken);
  const std::string id = taken->id;
  int pieces = 0;
  const auto stopped = hear(*std::move(taken), [&](const Recording&) { return ++pieces < 2; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  open();
  EXPECT_THAT(speech_->unfinished(), ElementsAre(id));
  const auto recording = speech_->resume(id, Deadline::never(), {}, {});
  ASSERT_TRUE(recording) << recording.error().message;
  EXPECT_TRUE(recording->done);
  EXPECT_EQ(recording->position, milliseconds(70'000));
  EXPECT_TRUE(speech_->unfinished().empty());
}

TEST_F(SpeechTest, IsLessCarefulWhereTimeIsShort) {
  ASSERT_TRUE(hear(*take(wav(5))));
  auto taken = take(wav(6));
  ASSERT_TRUE(speech_->hear(*std::move(taken), Urgency::kNow,
                            Deadline::after(std::chrono::milliseconds(2'000)), {}, nullptr));
  EXPECT_THAT(models_.speech->careful, ElementsAre(true, false));
}

TEST_F(SpeechTest, ResumesARecordingThatWasOnlyStored) {
  const auto taken = take(wav(5));
  ASSERT_TRUE(taken);
  open();
  EXPECT_THAT(speech_->unfinished(), ElementsAre(taken->id));
  const auto recording = speech_->resume(taken->id, Deadline::never(), {}, {});
  ASSERT_TRUE(recording) << recording.error().message;
  EXPECT_EQ(speech_->find(taken->id)->segments.size(), 1U);
}

TEST_F(SpeechTest, AsksAgainWhenTheModelEnded) {
  models_.speech->failures = 2;
  auto taken = take(wav(5));
  ASSERT_TRUE(taken);
  EXPECT_TRUE(hear(*std::move(taken)));
}

class SpeechFileTest : public SpeechTest {
 protected:
  Result<Recording> hear_file(const std::string& bytes, const CancelToken& cancel = {}) {
    const auto path = folder_ / "lies.here";
    std::ofstream(path, std::ios::binary) << bytes;
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return speech_->hear_file(file.get(), "talk.wav", Deadline::after(std::chrono::seconds(60)),
                              cancel);
  }
};

TEST_F(SpeechFileTest, IsHeardAndNothingOfItIsKept) {
  const auto recording = hear_file(wav(70));
  ASSERT_TRUE(recording) << recording.error().message;
  EXPECT_TRUE(recording->done);
  EXPECT_EQ(recording->position, milliseconds(70'000));
  EXPECT_EQ(recording->segments.size(), 3U);
  EXPECT_TRUE(files().empty());
}

TEST_F(SpeechFileTest, GoesOnWhereItStopped) {
  CancelToken cancel;
  models_.speech->after_piece = [&](std::size_t pieces) {
    if (pieces == 2) cancel.cancel();
  };
  const auto stopped = hear_file(wav(70), cancel);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_THAT(files(), ElementsAre(".json"));
  open();
  EXPECT_TRUE(speech_->unfinished().empty());  // whoever has the file asks again
  const auto recording = hear_file(wav(70));
  ASSERT_TRUE(recording) << recording.error().message;
  EXPECT_EQ(recording->segments.size(), 3U);
  EXPECT_EQ(models_.speech->lengths.size(), 3U);
  EXPECT_TRUE(files().empty());
}

TEST_F(SpeechFileTest, OfAnotherFormatIsRefusedForGood) {
  EXPECT_EQ(hear_file("#EXTM3U\n").error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(files().empty());
}

TEST_F(SpeechFileTest, SaysThatThereIsNoModel) {
  const std::string before = speech_->hearing();
  models_.speech = nullptr;
  EXPECT_EQ(speech_->ready().error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(hear_file(wav(1)).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_NE(speech_->hearing(), before);
}

TEST_F(SpeechTest, RefusesWhatIsNoRecordingAndKeepsNothing) {
  const auto taken = take("#EXTM3U\nhttp://127.0.0.1/x\n");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(files().empty());
}

TEST_F(SpeechTest, SaysWhichModelIsMissing) {
  EXPECT_THAT(take(wav(1), {.model = "other"}).error().message, HasSubstr("'other'"));
  models_.speech = nullptr;
  const auto taken = take(wav(1));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(taken.error().message, HasSubstr("knap models pull"));
}

TEST_F(SpeechTest, ForgetsSoundAndText) {
  const auto taken = take(wav(70));
  ASSERT_TRUE(taken);
  EXPECT_TRUE(speech_->forget(taken->id));
  EXPECT_TRUE(files().empty());
  EXPECT_EQ(speech_->forget(taken->id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(speech_->find("../../etc/passwd").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace knap::speech
