// Package monitor tells whether what an endpoint sees is still what its model
// was trained on, and whether its answers are still good.
//
//		reference.csv of the training run ─┐
//		                                   ├ Judge ─ Verdict per window ─ decide ─ alert ─ webhook
//		windows of recorded predictions ───┘
//
//	  - [Judge] compares one window with the [Reference], feature by feature: the
//	    two-sample Kolmogorov–Smirnov test of package ks, corrected for the number
//	    of features, and a minimum effect. A window with too few rows gets no
//	    verdict.
//	  - An alarm needs the same feature in k of the last m windows; that rule is
//	    in package controller, which reconciles the ModelMonitor kind.
//	  - [Store] keeps verdicts, alerts and what is still to be told.
//	  - [Notifier] tells a webhook.
//
// Windows are counted in rows and belong to one model version and one
// reference (a [Baseline]). When another version becomes the champion, new
// windows begin against its own reference.
//
// The package reads recorded predictions through package data and does not
// know who trains models: [Source] finds the reference.
package monitor
