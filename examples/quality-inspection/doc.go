// Package qualityinspection carries the files of the example, so that the
// demo needs nothing beside the program.
package qualityinspection
