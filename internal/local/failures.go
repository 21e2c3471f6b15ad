package local

import (
	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/text"
)

// failure says what is wrong and what to try.
func failure(what, try text.Sentence, cause error) error {
	return &cli.Failure{What: what, Try: try, Cause: cause}
}

func try(command string) text.Sentence { return text.S(text.Verbatim, command) }
