"""Another processor, played on this one: programs that are started with these settings round otherwise."""

# torch's own kernels without vector instructions, MKL's in an order that any processor can keep. Arm has neither.
PLAYED = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
