#include "runner_generator.hpp"

#include "chat_generator.hpp"

namespace knap::models {

std::shared_ptr<Generator> make_runner_generator(const ModelSpec& spec,
                                                 std::shared_ptr<Replicas> replicas,
                                                 std::size_t threads, bool reads_ahead,
                                                 observe::Registry& metrics) {
  ChatTarget target;
  target.id = spec.name;
  target.model = spec.name;
  target.path = "/v1/chat/completions";
  target.context = spec.context;
  target.local = true;
  target.threads = threads;
  target.runners = replicas->size();
  target.connect = [replicas](const Hold& held, Deadline deadline,
                              const CancelToken& cancel) -> Result<ChatTarget::Connection> {
    auto lent = std::static_pointer_cast<const Replicas::Lent>(held);
    if (lent == nullptr) {
      KNAP_TRY(lent, replicas->lend(deadline, cancel));
    } else {
      // It may have been replaced since.
      KNAP_CHECK_OK(lent->runner().wait_ready(deadline, cancel));
    }
    PooledRunner& runner = lent->runner();
    return ChatTarget::Connection{.hold = std::move(lent),
                                  .client = &runner.client(),
                                  .on_broken = [&runner] { runner.suspect(); }};
  };
  if (reads_ahead) {
    target.passages_path = "/v1/passages";
    target.stats_path = "/stats";
    target.connect_loaded = [replicas]() -> Result<ChatTarget::Connection> {
      KNAP_TRY(auto lent, replicas->lend_loaded());
      PooledRunner& runner = lent->runner();
      return ChatTarget::Connection{
          .hold = std::move(lent), .client = &runner.client(), .on_broken = {}};
    };
  }
  return make_chat_generator(std::move(target), metrics);
}

}  // namespace knap::models
