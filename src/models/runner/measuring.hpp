#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/file.hpp"
#include "knap/base/result.hpp"

namespace knap::models::runner {

/// A folder for files that a measurement writes and removes again. It goes with its owner; what a
/// run left that was killed goes when the next one begins.
class MeasuringFolder {
 public:
  /// @param scratch  made when it is not there
  static Result<MeasuringFolder> make(const std::filesystem::path& scratch);
  MeasuringFolder(MeasuringFolder&& other) noexcept;
  MeasuringFolder& operator=(MeasuringFolder&&) = delete;
  ~MeasuringFolder();

  const std::filesystem::path& path() const { return path_; }

 private:
  MeasuringFolder() = default;
  std::filesystem::path path_;
  FileDescriptor lock_;  ///< Held while the folder is in use.
};

/// Whether `bytes` more fit where `folder` lies. What cannot be asked fits.
/// Errors: kResourceExhausted (says how much `what` needs and what is free).
Status check_space(const MeasuringFolder& folder, std::string_view what, std::uint64_t bytes);

/// What `knap runner measure` prints, run in a process of its own, an hour at most.
/// Errors: kInternal (its words), kCancelled, kDeadlineExceeded.
Result<boost::json::object> run_measuring(const std::filesystem::path& program,
                                          const std::vector<std::string>& arguments,
                                          const MeasuringFolder& folder, const CancelToken& cancel);

/// A number of what it printed; 0 when it is not there.
double figure(const boost::json::object& figures, std::string_view key);

}  // namespace knap::models::runner
