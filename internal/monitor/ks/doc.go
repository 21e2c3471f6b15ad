// Package ks is the two-sample Kolmogorov–Smirnov test, exact.
//
//   - [TwoSample] works on samples. The p-value comes from a recursion over
//     lattice paths that carries the probability of having left the band, so
//     that small values keep their relative accuracy (Viehmann 2021).
//   - [FromCounts] works on counts per bin, where no raw value was kept. It
//     returns an interval that surely contains what TwoSample would have said.
//   - [Adjust] corrects the p-values of several features for being several.
//
// With [TiesExact] the null distribution is the one given the observed ties
// (Schröer and Trenkler 1995), which whole numbers such as pixels need; with
// [TiesIgnored] the p-value is scipy's, which takes every value as distinct and
// so is too large when there are ties.
//
// The package only computes; it knows neither monitors nor windows.
package ks
