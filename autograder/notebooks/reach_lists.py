"""What notebooks need, and what of Python and torch leads into the interpreter: the lists that `reach` goes by."""

import sys

# Modules that a notebook may import, and nothing of which changes how the interpreter runs.
HARMLESS = {"__future__", "abc", "array", "autograder", "base64", "bertviz", "bisect", "calendar", "cmath",
            "collections", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "einops",
            "enum", "fractions", "functools", "graphlib", "hashlib", "heapq", "html", "IPython", "ipywidgets",
            "itertools", "json", "keyword", "logging", "math", "matplotlib", "mpl_toolkits", "numbers", "numpy",
            "operator", "os", "pandas", "pathlib", "platform", "pprint", "random", "re", "scipy", "seaborn",
            "secrets", "sklearn", "statistics", "string", "sys", "textwrap", "time", "timeit", "torch", "tqdm",
            "traceback", "types", "typing", "typing_extensions", "unicodedata", "uuid", "warnings", "workbench", "zlib"}
# What of those with more in them than that.
ONLY = {"autograder": {"check", "hint", "progress"}, "__future__": {"annotations"},
        "IPython": {"display"}, "timeit": {"default_timer"}, "traceback": {"print_exc", "format_exc"},
        "types": {"SimpleNamespace", "MappingProxyType", "NoneType"},
        "os": {"path", "getcwd", "listdir", "sep", "linesep", "cpu_count", "getenv", "environ", "makedirs", "mkdir",
               "name", "getpid", "scandir", "walk", "PathLike"},
        "sys": {"version", "version_info", "maxsize", "float_info", "int_info", "platform", "getsizeof", "executable",
                "byteorder", "argv", "getrecursionlimit", "stdout", "stderr"}}
CALLS = {"exec", "eval", "compile", "__import__", "globals", "locals", "vars", "setattr", "delattr", "get_ipython",
         "breakpoint", "memoryview", "__builtins__", "__loader__", "__spec__", "exit", "quit"}
# Names with two underscores that ordinary code uses: methods of classes, and a few things to read.
ORDINARY = {f"__{name}__" for name in """
    init name class call len getitem setitem delitem iter next repr str eq ne lt le gt ge hash enter exit doc version
    post_init add radd iadd sub rsub mul rmul imul matmul rmatmul truediv floordiv mod pow neg abs bool int float
    contains qualname index missing reversed format slots all author""".split()}
INDIRECT = {"attrgetter", "methodcaller", "update_wrapper", "get_type_hints", "ForwardRef", "stride_tricks", "memmap",
            "f2py", "ctypeslib", "make_dataclass", "get_annotations"}
FRAMES = {"tb_frame", "tb_next", "f_back", "f_globals", "f_locals", "f_builtins", "f_code", "gi_frame", "cr_frame",
          "ag_frame", "gi_code", "cr_code", "ag_code", "co_consts", "func_globals", "shell_handlers", "user_ns",
          "_getframe", "_current_frames", "settrace", "setprofile", "meta_path", "path_hooks", "exc_info",
          "last_traceback", "last_exc", "addaudithook", "monitoring", "FunctionType", "CodeType", "ModuleType",
          "walk_tb", "walk_stack", "modules_cache", "excepthook", "displayhook", "setrecursionlimit", "with_traceback"}
# Parts of torch that load or make code, or that watch and change how functions run, and what they are called elsewhere.
TORCH = {"overrides", "ops", "library", "jit", "compile", "fx", "package", "load", "hub", "classes",
         "multiprocessing", "distributed", "set_default_device", "export", "compiler", "func", "futures"}
UTILS = {"data", "rnn", "clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"}
HOOKS = {"register_module_forward_hook", "register_module_forward_pre_hook", "register_module_full_backward_hook",
         "register_module_buffer_registration_hook", "register_module_parameter_registration_hook",
         "register_module_module_registration_hook", "register_parametrization", "from_file", "fromfile", "tofile",
         "TorchFunctionMode", "TorchDispatchMode", "DisableTorchFunction", "DisableTorchFunctionSubclass"}
# What tells how an argument was used, where the argument is an object that counts.
COUNTERS = {"_forward_hooks", "_forward_pre_hooks"}
# What a module says of itself; one that says something else may lie.
SELF_REPORTS = {"state_dict", "named_parameters", "parameters", "named_modules", "modules", "load_state_dict",
                "requires_grad_", "to", "train", "apply", "_apply"}
# Methods whose result is surely a tensor or a number, whoever has them.
GIVE_TENSORS = {"softmax", "view", "reshape", "clone", "detach", "item", "float", "double", "mean", "sum", "transpose",
                "flatten", "squeeze", "unsqueeze", "masked_fill", "contiguous", "cpu", "tolist", "exp", "log", "sqrt"}
FILES = {"proc", "sandbox", "fd", "dev", "sys"}  # folders in which no data file lies
NOT_SHOWN = set(sys.stdlib_module_names) - HARMLESS - {"code", "copyreg", "select", "signal", "symbol", "this",
                                                        "queue", "token", "test", "resource", "trace", "profile"}
