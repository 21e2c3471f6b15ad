// Package prices knows what tokens of language models cost, from a folder in
// the form of MLflow's model catalogue: a file PROVIDER.json for each provider
// with prices for a million tokens. The program brings no prices of its own
// and fetches none: they change by the week, and it need not reach the internet.
package prices
