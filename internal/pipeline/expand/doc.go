// Package expand evaluates what stands in the texts of a workflow: tags
// ({{inputs.parameters.x}}), expression tags ({{= … }}), conditions (when),
// dependencies (depends) and loops (withItems, withParam, withSequence).
//
//	text with tags ──Text──▶ text          a [Scope] gives the values
//	JSON value     ──Tree──▶ JSON value    every string and key in it
//	when           ──When──▶ bool          bare words are strings
//	depends        ──ParseDepends──▶ [Depends] ──Eval──▶ bool
//	loop           ──Items──▶ values       one child each
//
// A text is gone through once: a value that looks like a tag stays as it is.
// Everything here is a pure function of its arguments; nothing knows nodes,
// pods or the API server.
package expand
