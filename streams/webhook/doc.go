// Package webhook delivers filtered streams to the systems of others: each
// webhook is a subscription whose deltas are POSTed, signed, to a URL.
//
// Guarantees:
//
//   - Every reading that the filter chooses and the rights allow is delivered
//     at least once and in the order of the log. A delivery that may have
//     arrived is repeated with the same webhook-id and nothing but its own
//     readings: a receiver that drops ids it has handled gets each reading once,
//     also over a crash of the hub.
//   - One delivery of a webhook is on its way at a time. The next follows after
//     a 2xx; until then it is repeated with growing, random pauses, for days.
//   - The backlog lies in the log. A webhook holds one delivery in memory. What
//     the log has let go of before it was delivered is told in the next delivery.
//   - A webhook has the rights of its creator, asked for again at every try
//     (上海市数据条例 第三十九条; R28, R29): it ends with the token it was made with, and
//     a delivery on its way is cut off.
//   - Deliveries reach no address inside the hub's own network, whatever the
//     name resolves to, unless the configuration allows it; redirects are not
//     followed.
//
// Headers and signatures are those of Standard Webhooks 1.0.0
// (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).
// DESIGN.md has the reasons and limits.
//
// A Manager is safe for concurrent use; Run owns one goroutine for each
// webhook at work, and one more while that reads the log.
package webhook
