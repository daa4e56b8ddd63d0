#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/extract/document.hpp"
#include "knap/index/service.hpp"
#include "knap/store/store.hpp"
#include "knap/vault/text_note.hpp"
#include "reader.hpp"
#include "vault_state.hpp"

/// Files that are no notes but hold text: what was taken out of them, and the note it makes.
namespace knap::index {

/// The reader of a file, by its name; null: it is a note, or only its name is indexed.
const DocumentReader* find_reader(const std::vector<DocumentReader>& readers,
                                  std::string_view path);

/// What the ledger keeps as parser version of a file: of its reader, or of the notes' parser.
std::uint32_t parser_version_of(const DocumentReader* reader);

/// What came of reading a content, as it is kept.
struct Extracted {
  std::optional<extract::Document> document;
  Error error;  ///< Without a document: why these bytes never give one.
};
std::string encode(const Extracted& extracted);
/// Errors: kCorruptData.
Result<Extracted> decode_extracted(std::string_view bytes);
/// Whether another try with the same bytes is in vain.
bool is_final(ErrorCode code);

/// The note that a document makes, and its text.
vault::TextNote note_of(std::string_view path, const extract::Document& document);

/// A document that is known by its name only: before it is read, or when it cannot be.
Prepared name_only(FileTask task, Prepared::Outcome outcome, store::FileState state,
                   std::string reason);

/// What there is to do for one document.
struct DocumentJob {
  const DocumentReader& reader;
  store::Store& store;
  const std::filesystem::path& root;
  /// Waits until nobody asks for anything, before the file is opened up. Not called when the
  /// content is known.
  std::function<Status()> wait_for_turn;
  std::function<void(SteadyClock::duration, bool done)> count;  ///< Each reading.
};
/// Takes a document's text from what is kept for its content, or out of the file. Never fails:
/// what went wrong stands in the ledger. Nothing: stopped.
std::optional<Prepared> prepare_document(const DocumentJob& job, FileTask task,
                                         const CancelToken& cancel);

}  // namespace knap::index
