"""Writes the small ONNX models of the tests. Run it with the project's Python: .venv/bin/python internal/modelserver/testdata/make.py"""

import pathlib

import numpy as np
from onnx import TensorProto as T
from onnx import checker, helper, numpy_helper, save

HERE = pathlib.Path(__file__).parent


def write(name, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(v, k) for k, v in constants])
    # ONNX Runtime 1.24 reads IR 10 and opset 21 for certain.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10, producer_name="kiwerk-tests")
    checker.check_model(model)
    save(model, HERE / f"{name}.onnx")


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def main():
    # y = 0.5 x + 2, and a label that says whether y is above 3: two outputs, as classifiers have.
    write(
        "half_plus_two",
        [
            helper.make_node("Mul", ["x", "half"], ["h"]),
            helper.make_node("Add", ["h", "two"], ["y"]),
        ],
        [value("x", T.FLOAT, ["n"])],
        [value("y", T.FLOAT, ["n"])],
        [("half", np.float32(0.5)), ("two", np.float32(2))],
    )
    rng = np.random.default_rng(7)
    write(
        "classifier",
        [
            helper.make_node("MatMul", ["pixels", "w"], ["z"]),
            helper.make_node("Softmax", ["z"], ["probabilities"]),
            helper.make_node("ArgMax", ["z"], ["label"], axis=1, keepdims=0),
        ],
        [value("pixels", T.FLOAT, ["n", 4])],
        [value("label", T.INT64, ["n"]), value("probabilities", T.FLOAT, ["n", 3])],
        [("w", rng.normal(size=(4, 3)).astype(np.float32))],
    )
    kinds = {
        "bool": T.BOOL, "u8": T.UINT8, "u16": T.UINT16, "u32": T.UINT32, "u64": T.UINT64,
        "i8": T.INT8, "i16": T.INT16, "i32": T.INT32, "i64": T.INT64,
        "f16": T.FLOAT16, "bf16": T.BFLOAT16, "f32": T.FLOAT, "f64": T.DOUBLE, "s": T.STRING,
    }
    write(
        "identity",
        [helper.make_node("Identity", [k], [k + "_out"]) for k in kinds],
        [value(k, t, ["n", "m"]) for k, t in kinds.items()],
        [value(k + "_out", t, ["n", "m"]) for k, t in kinds.items()],
    )
    write("scalar", [helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0)], [value("x", T.FLOAT, ["n"])], [value("sum", T.FLOAT, [])])
    write("constant", [helper.make_node("Identity", ["c"], ["y"])], [], [value("y", T.INT64, [2])], [("c", np.array([4, 5], np.int64))])
    # Runs as long as its input says, so that a test can have a request under way.
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["m", "m"], ["square"]),
            helper.make_node("Softmax", ["square"], ["next"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [value("i", T.INT64, []), value("go", T.BOOL, []), value("m", T.FLOAT, [64, 64])],
        [value("go_on", T.BOOL, []), value("next", T.FLOAT, [64, 64])],
    )
    write(
        "slow",
        [
            helper.make_node("Loop", ["rounds", "", "start"], ["end"], body=body),
            helper.make_node("ReduceSum", ["end"], ["sum"], keepdims=0),
        ],
        [value("rounds", T.INT64, [])],
        [value("sum", T.FLOAT, [])],
        [("start", rng.normal(size=(64, 64)).astype(np.float32))],
    )
    # The size of a small image network, some milliseconds on one core. The weights are made when it is loaded, so the file is small.
    layers = [(3, 32, 7, 4), (32, 64, 3, 1), (64, 64, 3, 1)]
    nodes, constants, last = [], [], "image"
    for i, (before, after, side, stride) in enumerate(layers):
        constants.append((f"shape{i}", np.array([after, before, side, side], np.int64)))
        fill = numpy_helper.from_array(np.array([0.01 * (i + 1)], np.float32))
        nodes.append(helper.make_node("ConstantOfShape", [f"shape{i}"], [f"w{i}"], value=fill))
        pads = [side // 2] * 4
        nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], kernel_shape=[side, side], strides=[stride, stride], pads=pads))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        last = f"r{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["features"]))
    write("convnet", nodes, [value("image", T.FLOAT, ["n", 3, 224, 224])], [value("features", T.FLOAT, ["n", 64, 1, 1])], constants)
    # A sequence, which protocols cannot carry.
    write(
        "sequence",
        [helper.make_node("SplitToSequence", ["x"], ["parts"])],
        [value("x", T.FLOAT, [4])],
        [helper.make_tensor_sequence_value_info("parts", T.FLOAT, None)],
    )


if __name__ == "__main__":
    main()
