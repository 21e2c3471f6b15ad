package text

// Sentences of the other commands.
var commandTexts = map[Key]entry{}
