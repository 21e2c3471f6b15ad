package text

// Sentences of kiwerk image.
const (
	ImageShort      Key = "image"
	ImageLoadShort  Key = "image.load"
	ImagePullShort  Key = "image.pull"
	ImageListShort  Key = "image.list"
	ImageShowShort  Key = "image.show"
	ImageRmShort    Key = "image.rm"
	ImagePruneShort Key = "image.prune"

	FlagImages        Key = "image.flag.images"
	FlagImageName     Key = "image.flag.name"
	FlagImageAll      Key = "image.flag.all"
	FlagImageUser     Key = "image.flag.user"
	FlagPasswordStdin Key = "image.flag.passwordStdin"

	ImageLayerBytes Key = "image.layerBytes"
	ImageLoaded     Key = "image.loaded"
	ImagePulled     Key = "image.pulled"
	ImageNext       Key = "image.next"
	ImageRemoved    Key = "image.removed"
	ImageHostOnly   Key = "image.hostOnly"
	ImageFailed     Key = "image.failed"
	ImageNotFound   Key = "image.notFound"
	ImageInUse      Key = "image.inUse"
	ImageNoFile     Key = "image.noFile"
)

var imageTexts = map[Key]entry{
	ImageShort:      {"Images that pods run in", "Images, in denen Pods laufen"},
	ImageLoadShort:  {"Load images from a docker-save archive or an OCI layout", "Images aus einem docker-save-Archiv oder einem OCI-Layout laden"},
	ImagePullShort:  {"Pull an image from its registry", "Ein Image aus seiner Registry holen"},
	ImageListShort:  {"List stored images", "Gespeicherte Images auflisten"},
	ImageShowShort:  {"Show what an image runs and how large it is", "Zeigen, was ein Image ausführt und wie groß es ist"},
	ImageRmShort:    {"Remove images that no container uses", "Images entfernen, die kein Container benutzt"},
	ImagePruneShort: {"Remove images without a name and layers without an image", "Images ohne Namen und Schichten ohne Image entfernen"},

	FlagImages:        {"what image names mean: auto (image if there is one, else this machine's tools), oci (images only, as on a server) or host (this machine's tools only)", "was Image-Namen bedeuten: auto (Image, wenn es eines gibt, sonst die Werkzeuge dieses Rechners), oci (nur Images, wie auf einem Server) oder host (nur die Werkzeuge dieses Rechners)"},
	FlagImageName:     {"name for the only image in the file", "Name für das einzige Image in der Datei"},
	FlagImageAll:      {"also pulled images that no container uses; loaded ones stay", "auch geholte Images, die kein Container benutzt; geladene bleiben"},
	FlagImageUser:     {"user at the registry; by default what docker login stored", "Benutzer bei der Registry; sonst gilt, was docker login gespeichert hat"},
	FlagPasswordStdin: {"read the password from standard input", "das Passwort von der Standardeingabe lesen"},

	ImageLayerBytes: {"  layer %d of %d: %s", "  Schicht %d von %d: %s"},
	ImageLoaded:     {"Loaded %s", "Geladen: %s"},
	ImagePulled:     {"Pulled %s", "Geholt: %s"},
	ImageNext:       {"Next: kiwerk image list\n      kiwerk kubectl run app --image=%s", "Weiter: kiwerk image list\n        kiwerk kubectl run app --image=%s"},
	ImageRemoved:    {"Removed %d images and %d layers, %s freed", "%d Images und %d Schichten entfernt, %s frei geworden"},
	ImageHostOnly:   {"The platform was started with --images=host: pods do not use stored images until it is started with auto or oci.", "Die Plattform wurde mit --images=host gestartet: Pods benutzen gespeicherte Images erst, wenn sie mit auto oder oci gestartet wird."},
	ImageFailed:     {"%s failed", "%s ist gescheitert"},
	ImageNotFound:   {"there is no image %s", "es gibt kein Image %s"},
	ImageInUse:      {"image %s is in use", "das Image %s wird benutzt"},
	ImageNoFile:     {"the file %s cannot be read", "die Datei %s ist nicht lesbar"},
}
