// Package resources makes the children of a RetrainPolicy: pure functions with
// deterministic names. Kinds of other capabilities are made in their wire form.
package resources
