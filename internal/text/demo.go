package text

// Sentences of kiwerk demo.
var demoTexts = map[Key]entry{}
