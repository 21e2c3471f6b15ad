// Package seed lists the code blocks of the text that Kiwerk began with: a
// German article about machine learning on Kubernetes.
//
//	found/      as the text has them, line by line; the web page had lost their indentation
//	restored/   the same with indentation, as the author must have written them
//	corrected/  what runs on today's Kubernetes
//	images/     small real programs in place of the images that the blocks name
//
// [Blocks] says of each what lint finds in it and what the corrected one does;
// README.md shows that as a table. Tests hold files, table and a running
// cluster to it.
package seed
