package text

// Sentences about GPUs.
const (
	GPUShort        Key = "command.gpu"
	GPUListShort    Key = "command.gpu.list"
	GPUFailShort    Key = "command.gpu.fail"
	GPURecoverShort Key = "command.gpu.recover"

	FlagXID          Key = "flag.xid"
	FlagSimulateGPUs Key = "flag.simulateGPUs"
	FlagGPUConfig    Key = "flag.gpuConfig"

	GPUNone       Key = "gpu.none"
	GPUHealthy    Key = "gpu.healthy"
	GPUFailed     Key = "gpu.failed"
	GPURecovered  Key = "gpu.recovered"
	GPUNotFound   Key = "gpu.notFound"
	GPUReal       Key = "gpu.real"
	GPUSimInvalid Key = "gpu.simulateInvalid"
	GPUSimTry     Key = "gpu.simulateTry"
	GPUConfigBad  Key = "gpu.configInvalid"
)

var gpuTexts = map[Key]entry{
	GPUShort:        {"GPUs of this node", "GPUs dieses Knotens"},
	GPUListShort:    {"List the GPUs, how they do and who holds them", "Die GPUs auflisten: Zustand und wer sie hält"},
	GPUFailShort:    {"Let a simulated GPU fail", "Eine simulierte GPU ausfallen lassen"},
	GPURecoverShort: {"Take a GPU as usable again (of simulated ones: reset it)", "Eine GPU wieder als brauchbar annehmen (simulierte: zurücksetzen)"},

	FlagXID:          {"the error that the GPU reports (NVIDIA's Xid number)", "der Fehler, den die GPU meldet (Xid-Nummer von NVIDIA)"},
	FlagSimulateGPUs: {"play GPUs that this machine does not have: MODEL:COUNT, as h100:8 or a100:2:3g.20gb*2,t4:1", "GPUs vorspielen, die dieser Rechner nicht hat: MODELL:ANZAHL, etwa h100:8 oder a100:2:3g.20gb*2,t4:1"},
	FlagGPUConfig:    {"configuration file of NVIDIA's device plugin (sharing, MIG strategy)", "Konfigurationsdatei des Device-Plugins von NVIDIA (Teilen, MIG-Strategie)"},

	GPUNone:       {"This node has no GPUs.", "Dieser Knoten hat keine GPUs."},
	GPUHealthy:    {"ok", "in Ordnung"},
	GPUFailed:     {"GPU %d (%s) reports Xid %d. See: kiwerk gpu list; back again with: kiwerk gpu recover %[1]d", "GPU %d (%s) meldet Xid %d. Ansehen: kiwerk gpu list; zurück mit: kiwerk gpu recover %[1]d"},
	GPURecovered:  {"GPU %d (%s) can be used again. See: kiwerk gpu list", "GPU %d (%s) ist wieder brauchbar. Ansehen: kiwerk gpu list"},
	GPUNotFound:   {"this node has no GPU %s", "dieser Knoten hat keine GPU %s"},
	GPUReal:       {"the GPUs of this node are real; only simulated ones can be made to fail", "die GPUs dieses Knotens sind echt; nur simulierte lassen sich zum Ausfallen bringen"},
	GPUSimInvalid: {"these GPUs cannot be simulated", "diese GPUs lassen sich nicht simulieren"},
	GPUSimTry:     {"kiwerk up --simulate-gpus=h100:8", "kiwerk up --simulate-gpus=h100:8"},
	GPUConfigBad:  {"the configuration of the GPUs in %s cannot be used", "die Konfiguration der GPUs in %s ist nicht brauchbar"},
}
