"""Examples of each command, with which its help ends."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "segment": (
        'refseg segment scene.png "the red star"',
        'refseg segment clip.gif "the red star" --out answers --format all',
        'refseg segment photographs/*.jpg "the dog on the left" --out answers',
        "refseg segment --table sentences.csv --out answers --coco results.json",
        "refseg segment --manifest images.jsonl --out answers --part 1/4",
        'refseg segment scene.png "both circles" --weights lavt_swin_base/refcoco --device cuda',
    ),
    "serve": (
        "refseg serve",
        "refseg serve --weights selector --weights lavt_swin_base/refcoco --device cuda",
        "refseg serve --host 0.0.0.0 --port 80 --token-file token --max-megapixels 12",
    ),
    "evaluate": (
        "refseg evaluate selector",
        "refseg evaluate selector drawn_scenes --split hard --out results/hard",
        "refseg evaluate lavt_swin_base/refcoco refcoco --split testA --protocol lavt --device cuda --full",
    ),
    "score": (
        "refseg score masks drawn_scenes --split test",
        "refseg score answers.jsonl refcoco --split val --root data/refcoco --out results/val",
    ),
    "compare": (
        "refseg compare results/a results/b",
        "refseg compare results/a results/b results/c",
        "refseg compare a/expressions.jsonl b/expressions.jsonl --protocol lavt --json",
    ),
    "robustness": (
        "refseg robustness selector drawn_scenes --count 50 --out robust",
        "refseg robustness selector cmpc_small drawn_scenes --kinds sentences,blur,noise --severities 1,3 --count 100",
        "refseg robustness drawn_scenes --count 50 --export questions",
        "refseg robustness --list",
    ),
    "gallery": (
        "refseg gallery --weights selector --weights runs/mine/weights --data drawn_scenes --sort disagreement",
        "refseg gallery --masks results/lavt --masks results/ours --data refcoco --split val --out sheet.html",
        'refseg gallery photographs "the left cup" "the pen" --weights reader --weights lavt_swin_base/refcoco',
    ),
    "explain": (
        'refseg explain scene.png "the red star" --out explanation.png',
        'refseg explain clip.gif "the red star" --frame 2',
    ),
    "calibrate": (
        "refseg calibrate runs/selector/release",
        "refseg calibrate my_weights jsonl --split val --root own.jsonl",
    ),
    "recipes": ("refseg recipes cris", 'refseg recipes "*_refcoco"', "refseg recipes lavt_refcoco"),
    "train": (
        "refseg train selector_quick --out runs/quick",
        "refseg train lavt_refcoco --set data.settings.root=data/refcoco",
        "refseg train --resume --out runs/quick",
    ),
    "study": (
        "refseg study cmirnet_table3 --show",
        "refseg study eavl_table4 --small --out runs/studies_small",
        "refseg study eavl_table4 --small --pictures 6",
        "refseg study cmirnet_table3 --rows 1,8 --seeds 3 --devices 8 --set data.settings.root=data/refcoco",
    ),
    "data check": (
        "refseg data check refcoco --root data/refcoco",
        "refseg data check jsonl --root own.jsonl --fast",
    ),
    "data stats": (
        "refseg data stats drawn_scenes --count 100",
        "refseg data stats jsonl --root own.jsonl --out stats",
    ),
    "data view": (
        "refseg data view drawn_scenes --split val --out sheet.png",
        "refseg data view refcoco --root data/refcoco --split val --number 20 --out sheet.png",
    ),
    "data ids": ("refseg data ids drawn_scenes --split test --count 2", "refseg data ids refcoco --split val --json"),
    "data draw": ("refseg data draw --out scenes --count 20", "refseg data draw --out clips --clips --split test"),
    "data shard": ("refseg data shard refcoco --root data/refcoco --split train --out shards",),
    "data import": (
        "refseg data import sentences.csv instances.json --out own.jsonl",
        'refseg data import "refs(unc).p" instances.json --images photographs --out own.jsonl',
    ),
    "data vocabulary": (
        "refseg data vocabulary --out words.txt",
        "refseg data vocabulary --dataset refcoco --root data/refcoco --at-least 3 --out words.txt",
    ),
    "convert": (
        "refseg convert auto official.pth --out my_weights",
        "refseg convert cmpc cmpc.npz --vocabulary vocabulary.txt --out my_weights",
        "refseg convert lavt my_weights --to-official --out official.pth",
    ),
    "export": (
        "refseg export selector --to onnx --out selector_onnx",
        "refseg export my_weights --to openvino --precision bf16 --size 480 480 --out my_weights_bf16",
    ),
    "weights list": ("refseg weights list", "refseg weights list --network dmmi"),
    "weights push": (
        "refseg weights push runs/own/weights you/own --licence cc-by-4.0 --results results/test",
        "refseg weights push runs/own/weights you/own --private",
    ),
    "weights get": (
        "refseg weights get lavt_swin_base/refcoco",
        "refseg weights get dmmi_swin_base/refzom --file official.pth",
    ),
    "networks": (
        'refseg networks "lavt*"',
        "refseg networks cmirnet_swin_base --parts",
        "refseg networks selector --json",
    ),
    "bench": (
        "refseg bench",
        "refseg bench reader --image photo.jpg -e 'the left cup' --runs 50 --threads 4",
        "refseg bench runs/lavt/weights --device cuda --json",
    ),
    "demo": ("refseg demo", "refseg demo --out demo.png"),
}
