// Package webhooks tells receivers of changes of the registry, as MLflow's
// webhooks do.
//
//	change of the registry ─ one transaction ─ row per webhook in webhook_deliveries
//	                                             │ claimed with a lease
//	                                             ▼
//	                              POST, signed ─ 2xx, 3xx, 4xx: row deleted
//	                                          └─ 429, 5xx, no answer: due again later
//
// [Service] is the listener of the tracking store: it writes what is to be
// delivered in the transaction of the change, so that neither is without the
// other. [Service.Deliveries] owns the goroutines that send. A process that
// dies leaves its rows behind, and they are sent again when their lease is
// over: receivers get everything at least once and tell repetitions by the
// delivery id.
//
// Receivers are strangers' addresses: target.go has what they may be, checked
// when a webhook is made and again on the address of each connection. Secrets
// are stored sealed (secret.go), and neither they nor addresses are logged.
package webhooks
