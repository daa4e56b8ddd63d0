#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config.hpp"

/// The commands of `knap`, one function each. Each returns the exit code: 0 done, 1 found problems
/// or failed, 2 wrong use.
namespace knap::app {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitWrongUse = 2;

enum class Output { kText, kJson };

/// Prints "knap: MESSAGE" in one line to standard error. The exit code that suits the error.
int report(const Error& error);

int serve(const Config& config);

struct IndexOptions {
  enum class Wait { kKeyword, kSemantic } wait = Wait::kKeyword;
  enum class Reread { kChanged, kAll } reread = Reread::kChanged;
  Output output = Output::kText;
};
int index_vaults(const Config& config, const IndexOptions& options);

/// Where a running server is asked.
struct ServerAddress {
  std::string url;  ///< Empty: the configuration's host and port.
  Output output = Output::kText;
};

struct SearchOptions {
  std::string query, filter, mode = "auto", vault, group = "note";
  std::uint32_t limit = 10;
  bool explain = false;
};
int search(const Config& config, const ServerAddress& server, const SearchOptions& options);

struct AskOptions {
  std::string question, filter, mode = "auto", vault, model;
  std::string voice;     ///< File with the question spoken; then `question` is empty.
  std::string language;  ///< Of the voice; empty: heard.
};
int ask(const Config& config, const ServerAddress& server, const AskOptions& options);

struct ImportOptions {
  std::string url;
  bool note = false;  ///< Writes a note too.
};
int import_page(const Config& config, const ServerAddress& server, const ImportOptions& options);

int status(const Config& config, const ServerAddress& server);

struct FilesOptions {
  std::string state, vault;
  std::uint32_t limit = 1000;  ///< 0: all.
};
int files(const Config& config, const ServerAddress& server, const FilesOptions& options);

/// Hands files to a server, which keeps a copy of each, and waits until they are searchable.
/// kExitFailed when one is not.
int import_files(const Config& config, const ServerAddress& server,
                 const std::vector<std::string>& files);

struct DuplicatesOptions {
  std::string vault;
  double threshold = .8;
  std::uint32_t limit = 50;
};
int duplicates(const Config& config, const ServerAddress& server, const DuplicatesOptions& options);

struct TranscribeOptions {
  std::string file, format = "text", language, model;
  bool note = false;  ///< Write a note beside the file instead of printing.
};
int transcribe(const Config& config, const ServerAddress& server, const TranscribeOptions& options);

struct BenchOptions {
  std::string set;      ///< File of judged questions (judged.hpp); empty: that of the settings.
  std::string compare;  ///< An earlier run's JSON, or empty.
  std::string mode = "auto";
};
/// Asks judged questions and prints quality and latency. kExitFailed when quality is lost against
/// the earlier run.
int bench_search(const Config& config, const ServerAddress& server, const BenchOptions& options);

struct CacheCommand {
  enum class Action { kStats, kAdvise, kClear, kInvalidate } action = Action::kStats;
  std::string layer;                            ///< clear: this one alone.
  std::string pattern, note, tag, vault, kind;  ///< invalidate: what fits all that is given.
};
int cache_command(const Config& config, const ServerAddress& server, const CacheCommand& command);
/// Lists alerts of a running server; kExitFailed when one fires that nobody has acknowledged.
int alerts(const Config& config, const ServerAddress& server);
int acknowledge_alert(const Config& config, const ServerAddress& server, const std::string& id,
                      const std::string& note);
/// Prints the rules as a file for Prometheus; needs no server.
int alert_rules(const Config& config);

struct ModelsCommand {
  enum class Action {
    kList,
    kShow,
    kPull,
    kImport,
    kVerify,
    kUse,
    kRollback,
    kRemove,
    kExplain,
    kSent
  } action = Action::kList;
  std::vector<std::string> names;  ///< import: the file, then the name.
  bool defaults = false;           ///< pull: the models the configuration names.
  bool force = false;              ///< use: although judged questions lose by it.
  Output output = Output::kText;
};
/// @param server  a running one is told of a change of embedding model
int models(const Config& config, const ServerAddress& server, const ModelsCommand& command);
/// Why a running server had a request answered by the model it was.
int explain_route(const Config& config, const ServerAddress& server, const ModelsCommand& command);
/// The record of what was sent to remote models: read from its file, no server is asked.
int show_sent(const Config& config, Output output);

struct BenchModelsCommand {
  std::vector<std::string> names;  ///< Empty: all that are installed.
  std::uint32_t prompt_words = 400;
  std::uint32_t repeats = 3;
  std::string clips, language;  ///< Of speech models: a folder of recordings; what is spoken there.
  Output output = Output::kText;
};
/// Loads models one after the other and prints what they do on this machine, as a Markdown table.
int bench_models(const Config& config, const BenchModelsCommand& command);

struct QuantizeCommand {
  std::string name;
  std::vector<std::string> levels;  ///< Empty: all.
  std::string text, judged;         ///< judged: a folder in BEIR's form, or empty.
  std::string keep;                 ///< The level that is installed, or empty.
  std::string clips, language;      ///< Of speech models: see BenchModelsCommand.
  std::uint32_t tokens = 4'096, documents = 600;
  Output output = Output::kText;
};
/// Quantises a model to several levels and prints what each gains and loses, as a Markdown table.
int quantize(const Config& config, const QuantizeCommand& command);

struct RecommendCommand {
  std::string role = "answer", priority = "accuracy", language;
  bool explain = false;
  Output output = Output::kText;
};
/// Looks at the machine and proposes a model. kExitFailed when none fits.
int recommend(const Config& config, const RecommendCommand& command);

int show_config(const Config& config, Output output);

}  // namespace knap::app
