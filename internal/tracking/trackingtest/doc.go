// Package trackingtest starts tracking behind HTTP for tests of what speaks to it.
package trackingtest
