// Package config is the one configuration of the platform.
//
// [Default] holds every default. [Load] reads a YAML file over it: a field that
// does not exist is an error with its path and line. [Config.Validate] returns
// every problem at once, each with the path of its field. Flags and the
// environment override what the file says; that is the command's part.
package config
