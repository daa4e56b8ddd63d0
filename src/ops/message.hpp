#pragma once

#include <string>

#include "knap/ops/notify.hpp"

namespace knap::ops {

/// "2026-01-31T09:00:00Z"; "0001-01-01T00:00:00Z", as Alertmanager writes no time, for 0.
std::string iso_time(std::int64_t unix_ms);

/// The body of a webhook call, as Alertmanager writes it.
std::string webhook_body(const Alert& alert);

/// A whole mail with header fields, lines ending in CRLF.
std::string mail_text(const Alert& alert, const NotifyOptions& options);

/// Gives a mail to an SMTP server. Errors: kUnavailable, kPermissionDenied (refused).
Status send_by_smtp(const std::string& mail, const NotifyOptions& options);
/// Gives a mail to the local sendmail. Errors: kNotFound (no such program), kUnavailable.
Status send_by_sendmail(const std::string& mail, const NotifyOptions& options);

}  // namespace knap::ops
