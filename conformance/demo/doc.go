// Package demo plays the quality-inspection example with the built program,
// starts the platform again on the same data directory and asks its APIs
// whether what the report says is true. Beside it a second demo plays in
// another data directory. Only tests are here.
package demo
