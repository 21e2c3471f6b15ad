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

	UsageArguments   Key = "usage.arguments"
	UsageFlagUnknown Key = "usage.flagUnknown"
	UsageFlagValue   Key = "usage.flagValue"
	UsageFlagInvalid Key = "usage.flagInvalid"
	UsageOutput      Key = "usage.output"
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

	UsageArguments:   {"the call is: %s", "der Aufruf lautet: %s"},
	UsageFlagUnknown: {"there is no flag %s", "den Schalter %s gibt es nicht"},
	UsageFlagValue:   {"the flag %s needs a value", "der Schalter %s braucht einen Wert"},
	UsageFlagInvalid: {"the flag --%s does not take %q", "der Schalter --%s nimmt %q nicht an"},
	UsageOutput:      {"-o %s: there are %s", "-o %s: es gibt %s"},
}
