#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "knap/speech/speech.hpp"

namespace knap::speech {

/// JSON of a recording's state. All fields but the sound.
std::string write_recording(const Recording& recording);
/// Errors: kCorruptData.
Result<Recording> read_recording(std::string_view text);

/// The folder of recordings: ID.sound until it is heard, ID.json with what was heard so far.
/// Threads: safe as far as the file system is; one writer for each id.
class Kept {
 public:
  /// Errors: kIo.
  static Result<Kept> open(std::filesystem::path dir);

  Status store_sound(const std::string& id, std::string_view bytes) const;
  Status store(const Recording& recording) const;
  /// Errors: kNotFound (neither sound nor text), kCorruptData, kIo. Sound without text is a
  /// recording of which nothing is heard yet.
  Result<Recording> find(std::string_view id) const;
  bool has_sound(std::string_view id) const;
  std::filesystem::path sound(std::string_view id) const;
  void remove_sound(std::string_view id) const;
  bool remove(std::string_view id) const;  ///< Whether there was something.
  std::vector<std::string> with_sound() const;
  /// Removes the texts that are older than the newest kTextsMax.
  void trim() const;

  static constexpr std::size_t kTextsMax = 500;

 private:
  explicit Kept(std::filesystem::path dir) : dir_(std::move(dir)) {}
  std::filesystem::path dir_;
};

bool is_recording_id(std::string_view text);

}  // namespace knap::speech
