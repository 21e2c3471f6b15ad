package text

// Sentences of help and of wrong usage.
const (
	HelpUsage    Key = "help.usage"
	HelpExamples Key = "help.examples"
	HelpCommands Key = "help.commands"
	HelpFlags    Key = "help.flags"
	HelpGlobal   Key = "help.global"
	HelpMore     Key = "help.more"
	HelpDefault  Key = "help.default"
	HelpFlag     Key = "help.flag"
	HelpShort    Key = "help.short"

	CompletionShort Key = "command.completion"
	CompletionLong  Key = "command.completion.long"

	UsageArguments   Key = "usage.arguments"
	UsageFlagUnknown Key = "usage.flagUnknown"
	UsageFlagValue   Key = "usage.flagValue"
	UsageFlagInvalid Key = "usage.flagInvalid"
	UsageOutput      Key = "usage.output"
	UsageReject      Key = "usage.reject"
	UsageRemove      Key = "usage.remove"
	UsageLogin       Key = "usage.login"
	UsageStdin       Key = "usage.stdin"
	UsageLanguage    Key = "usage.language"
)

var helpTexts = map[Key]entry{
	HelpUsage:    {"Usage", "Aufruf"},
	HelpExamples: {"Examples", "Beispiele"},
	HelpCommands: {"Commands", "Befehle"},
	HelpFlags:    {"Flags", "Schalter"},
	HelpGlobal:   {"Flags of every command", "Schalter aller Befehle"},
	HelpMore:     {"%s COMMAND --help tells more about a command.", "%s BEFEHL --help sagt mehr über einen Befehl."},
	HelpDefault:  {"default", "Vorgabe"},
	HelpFlag:     {"this help", "diese Hilfe"},
	HelpShort:    {"Help about a command", "Hilfe zu einem Befehl"},

	CompletionShort: {"Let a shell complete commands and flags", "Eine Shell Befehle und Schalter ergänzen lassen"},
	CompletionLong:  {"Prints a script for bash, zsh, fish or powershell that lets the shell complete commands and flags.", "Gibt ein Skript für bash, zsh, fish oder powershell aus, das die Shell Befehle und Schalter ergänzen lässt."},

	UsageArguments:   {"the call is: %s", "der Aufruf lautet: %s"},
	UsageFlagUnknown: {"there is no flag %s", "den Schalter %s gibt es nicht"},
	UsageFlagValue:   {"the flag %s needs a value", "der Schalter %s braucht einen Wert"},
	UsageFlagInvalid: {"the flag --%s does not take %q", "der Schalter --%s nimmt %q nicht an"},
	UsageLanguage:    {"the language %q is not spoken here; there are %s", "die Sprache %q wird hier nicht gesprochen; es gibt %s"},
	UsageOutput:      {"-o %s: there are %s", "-o %s: es gibt %s"},
	UsageReject:      {"--reject needs --reason", "--reject braucht --reason"},
	UsageRemove:      {"give either names of nodes or --simulated", "entweder Namen von Knoten angeben oder --simulated"},
	UsageLogin:       {"--username and --password-stdin belong together", "--username und --password-stdin gehören zusammen"},
	UsageStdin:       {"standard input is no file", "die Standardeingabe ist keine Datei"},
}
