"""Tables of DCMFNet (Z. Huang et al., Graphics Interface 2024)."""

from refseg.studies.study import Claim, Column, Row, Study, metric_columns

STUDIES = (
    Study(
        name="dcmfnet_table1",
        network="dcmfnet",
        table="Table 1: main results",
        recipe="dcmfnet_DATA",
        notes=(
            (
                "DATA is `refcoco`, `refcoco+`, `refcocog_google`, `refclef_berkeley`. The paper does not name its "
                "split of G-Ref; the others of its table use Google's."
            ),
        ),
        columns=(
            Column(title="UNC val", metric="oIoU", data="refcoco"),
            Column(title="UNC testA", metric="oIoU", split="testA", data="refcoco"),
            Column(title="UNC testB", metric="oIoU", split="testB", data="refcoco"),
            Column(title="UNC+ val", metric="oIoU", data="refcoco+"),
            Column(title="UNC+ testA", metric="oIoU", split="testA", data="refcoco+"),
            Column(title="UNC+ testB", metric="oIoU", split="testB", data="refcoco+"),
            Column(title="G-ref val", metric="oIoU", data="refcocog_google"),
            Column(title="ReferIt test", metric="oIoU", split="test", data="refclef_berkeley"),
        ),
        rows=(
            Row(
                label="dcmfnet_DATA_resnet101",
                recipe="dcmfnet_DATA_resnet101",
                figures=(65.84, 69.34, 63.09, 54.78, 60.03, 49.30, 51.99, 66.74),
            ),
            Row(label="dcmfnet_DATA (Trans: Swin-B)", figures=(71.00, 73.49, 67.17, 60.55, 66.34, 52.18, 57.79, 68.36)),
        ),
        figures_only=(
            Row(label="RMI [33]", figures=(44.33, 44.74, 44.63, 29.91, 30.37, 29.43, 34.40, 57.34)),
            Row(label="RRN+DCRF [29]", figures=(55.33, 57.26, 53.95, 39.75, 42.15, 36.11, 36.45, 63.63)),
            Row(label="MAttNet [58]", figures=(56.51, 62.37, 51.70, 46.67, 52.39, 40.08, None, None)),
            Row(label="NMTree [34]", figures=(56.59, 63.02, 52.06, 47.40, 53.01, 41.56, None, None)),
            Row(label="CMSA+DCRF [57]", figures=(58.32, 60.61, 55.09, 43.76, 47.60, 37.89, 39.98, 63.80)),
            Row(label="STEP [4]", figures=(60.04, 63.46, 57.97, 48.19, 52.33, 40.41, 46.40, 64.13)),
            Row(label="CGAN [39]", figures=(59.25, 62.37, 53.94, 46.16, 51.37, 38.24, 46.54, None)),
            Row(label="BRINet+DCRF [18]", figures=(61.35, 63.37, 59.57, 48.57, 52.87, 42.13, 48.04, 63.46)),
            Row(label="LSCM+DCRF [21]", figures=(61.47, 64.99, 59.55, 49.34, 53.12, 43.50, 48.05, 66.57)),
            Row(label="CMPC+DCRF [19]", figures=(61.36, 64.53, 59.64, 49.56, 53.44, 43.23, 49.05, 65.53)),
            Row(label="SANet [31]", figures=(61.84, 64.95, 57.43, 50.38, 55.36, 42.74, 44.53, 65.88)),
            Row(label="TV-Net [22]", figures=(61.87, 65.61, 60.10, 50.30, 54.43, 43.52, 49.92, 65.38)),
            Row(label="BUSNet [54]", figures=(62.56, 65.61, 60.38, 50.98, 56.14, 43.51, 49.98, None)),
            Row(label="EFN [12]", figures=(62.76, 65.69, 59.67, 51.50, 55.24, 43.01, 51.93, 66.70)),
            Row(label="ReSTR [25]", figures=(67.22, 69.30, 64.45, 55.78, 60.44, 48.27, 54.48, 70.18)),
        ),
        claims=(Claim(above=2, below=(1,), about="Swin-B", metric="oIoU"),),
    ),
    Study(
        name="dcmfnet_table2",
        network="dcmfnet",
        table="Table 2: where the sentence guides, and how the decoder takes the detail",
        recipe="dcmfnet_refcoco",
        small="dcmfnet_small",
        notes=(
            (
                "With Swin-B. Rows 7 and 8 are one network, rows 4 and 12 as well. Row 1 reads no language in the "
                "paper's words and could not answer; here the sentence is joined to M."
            ),
        ),
        columns=metric_columns("Prec@0.5", "Prec@0.6", "Prec@0.7", "Prec@0.8", "Prec@0.9", "oIoU"),
        rows=(
            Row(
                label="1: -, -, -",
                settings=("config.guided_stages=[]", "config.guide_fused=false", "config.detail_fusion=none"),
                figures=(79.32, 74.28, 65.30, 41.39, 16.13, 66.92),
                size=(94.75, 87.0),
            ),
            Row(
                label="2: -, E_enc, E_dec",
                settings=("config.guided_stages=[]",),
                figures=(81.19, 77.30, 71.43, 59.38, 30.58, 69.19),
                size=(111.16, 144.4),
            ),
            Row(
                label="3: E_4, E_enc, E_dec",
                settings=("config.guided_stages=[V4]",),
                figures=(81.60, 77.97, 72.16, 60.48, 31.47, 69.70),
                size=(173.51, 157.6),
            ),
            Row(
                label="4: E_3 E_4, E_enc, E_dec (full)",
                figures=(83.81, 80.30, 74.78, 63.83, 34.02, 71.00),
                size=(189.98, 170.9),
            ),
            Row(
                label="5: E_2 E_3 E_4, E_enc, E_dec",
                settings=("config.guided_stages=[V2, V3, V4]",),
                figures=(82.80, 79.27, 73.45, 62.18, 32.29, 69.73),
                size=(194.56, 184.2),
            ),
            Row(
                label="6: E_3 E_4, -, E_dec",
                settings=("config.guide_fused=false",),
                figures=(83.40, 80.09, 74.59, 62.94, 33.71, 70.74),
                size=(176.53, 168.3),
            ),
            Row(
                label="7: E_3 E_4, E_enc, -",
                settings=("config.detail_fusion=none",),
                figures=(83.14, 79.35, 71.85, 54.26, 20.89, 68.66),
                size=(186.89, 116.1),
            ),
            Row(
                label="8: w/o MLFF (= 7)",
                settings=("config.detail_fusion=none",),
                figures=(83.14, 79.35, 71.85, 54.26, 20.89, 68.66),
                size=(186.89, 116.1),
            ),
            Row(
                label="9: with Concat Fusion",
                settings=("config.detail_fusion=concat",),
                figures=(83.39, 79.72, 73.32, 60.04, 26.91, 70.23),
                size=(186.94, 133.1),
            ),
            Row(
                label="10: with Gated Fusion",
                settings=("config.detail_fusion=gated",),
                figures=(83.25, 79.68, 73.57, 61.10, 28.60, 70.40),
                size=(187.53, 141.6),
            ),
            Row(
                label="11: with Gated Bi-directional Fusion",
                settings=("config.detail_fusion=gated_bidirectional",),
                figures=(83.63, 79.92, 74.24, 62.03, 29.06, 70.55),
                size=(187.15, 136.1),
            ),
            Row(
                label="12: with Iterative Gated Fusion (= 4)",
                figures=(83.81, 80.30, 74.78, 63.83, 34.02, 71.00),
                size=(189.98, 170.9),
            ),
        ),
        claims=(
            Claim(above=4, below=(3, 5), about="guided from stage 3 on"),
            Claim(above=4, below=(2, 6, 7), about="each place of the sentence"),
            Claim(above=12, below=(11,), about="iterative gated fusion", metric="oIoU"),
            Claim(above=11, below=(10,), about="both directions", metric="oIoU"),
            Claim(above=10, below=(9,), about="gates", metric="oIoU"),
            Claim(above=9, below=(8,), about="the detail", metric="oIoU"),
        ),
    ),
    Study(
        name="dcmfnet_table3",
        network="dcmfnet",
        table="Table 3: DarkNet-53, against LTS and VLT",
        notes=(
            "The last two columns are of the table's second part, which leaves VLT out.",
            "Figures of LTS and VLT, which stand under oIoU here, stand under mIoU in CMIRNet's Table I.",
            "The paper's own DarkNet-53 was weaker than VLT's; refseg starts from DarkNet's authors' file.",
        ),
        columns=(
            Column(title="UNC testA", metric="oIoU", split="testA", data="refcoco"),
            Column(title="UNC+ testA", metric="oIoU", split="testA", data="refcoco+"),
            Column(title="G-ref val", metric="oIoU", data="refcocog_google"),
            Column(title="UNC testA Prec@0.5", metric="Prec@0.5", split="testA", data="refcoco"),
            Column(title="UNC testA Prec@0.9", metric="Prec@0.9", split="testA", data="refcoco"),
        ),
        rows=(
            Row(label="VLT", recipe="vlt_DATA", figures=(68.29, 59.20, 49.76, None, None)),
            Row(label="DCMFNet-Dark53", recipe="dcmfnet_DATA_darknet53", figures=(68.38, 59.24, 51.50, 82.15, 28.18)),
        ),
        figures_only=(Row(label="LTS", figures=(67.76, 58.32, None, 78.47, 12.92)),),
        claims=(Claim(above=2, below=(1,), about="DCMFNet with VLT's encoder", metric="oIoU"),),
    ),
    Study(
        name="dcmfnet_table4",
        network="dcmfnet",
        table="Table 4: depth of IGF",
        recipe="dcmfnet_refcoco",
        small="dcmfnet_small",
        over="layers of IGF",
        notes=("L = 5 is the full network (row 4 of Table 2).",),
        columns=metric_columns("oIoU", "Prec@0.5", "Prec@0.7", "Prec@0.9"),
        rows=(
            Row(
                label="L = 1", settings=("config.layers=1",), figures=(69.91, 82.67, 72.99, 31.08), size=(105.38, 106.1)
            ),
            Row(
                label="L = 2", settings=("config.layers=2",), figures=(70.37, 83.34, 74.66, 33.19), size=(126.53, 122.3)
            ),
            Row(
                label="L = 3", settings=("config.layers=3",), figures=(70.48, 83.35, 74.01, 33.21), size=(147.68, 138.5)
            ),
            Row(
                label="L = 4", settings=("config.layers=4",), figures=(70.68, 83.58, 74.86, 33.39), size=(168.83, 154.7)
            ),
            Row(
                label="L = 5", settings=("config.layers=5",), figures=(71.00, 83.81, 74.78, 34.02), size=(189.98, 170.9)
            ),
            Row(
                label="L = 6", settings=("config.layers=6",), figures=(70.36, 83.35, 74.00, 33.01), size=(211.13, 187.1)
            ),
            Row(
                label="L = 7", settings=("config.layers=7",), figures=(70.33, 83.64, 74.54, 33.14), size=(232.28, 203.3)
            ),
        ),
        claims=(Claim(above=5, below=(1, 2, 3, 4, 6, 7), about="five layers", metric="oIoU"),),
    ),
    Study(
        name="dcmfnet_table5",
        network="dcmfnet",
        table="Table 5: what an IGF gives",
        recipe="dcmfnet_refcoco",
        small="dcmfnet_small",
        columns=metric_columns("oIoU", "Prec@0.5", "Prec@0.7"),
        rows=(
            Row(
                label="Conv(G_5)",
                settings=("config.igf_output=G_last",),
                figures=(70.15, 83.39, 73.88),
                size=(174.50, 163.4),
            ),
            Row(
                label="Conv(F_5)",
                settings=("config.igf_output=F_last",),
                figures=(70.25, 83.50, 74.31),
                size=(163.44, 153.4),
            ),
            Row(
                label="Conv([F_1; F_2; F_3; F_4; G_5])",
                settings=("config.igf_output=F_and_G_last",),
                figures=(70.30, 83.60, 74.55),
                size=(201.04, 180.9),
            ),
            Row(label="Conv([F_1; F_2; F_3; F_4; F_5])", figures=(71.00, 83.81, 74.78), size=(189.98, 170.9)),
        ),
        claims=(Claim(above=4, below=(1, 2, 3), about="all F"),),
    ),
    Study(
        name="dcmfnet_table6",
        network="dcmfnet",
        table="Table 6: the gating unit, with its size",
        recipe="dcmfnet_refcoco",
        small="dcmfnet_small",
        notes=(
            (
                "Params are those of one gate of one layer at width 256 (third IGF), not of the network; measured "
                "4.720, 3.540, 1.770 M."
            ),
        ),
        columns=(
            Column(title="Params M", cost="params", part="gate"),
            Column(title="oIoU", metric="oIoU"),
            Column(title="Prec@0.5", metric="Prec@0.5"),
        ),
        rows=(
            Row(
                label="ConvLSTMCell",
                settings=("config.gate=conv_lstm",),
                figures=(4.72, 70.17, 82.94),
                size=(263.72, 237.3),
            ),
            Row(
                label="ConvGRUCell",
                settings=("config.gate=conv_gru",),
                figures=(3.54, 70.61, 83.45),
                size=(234.22, 210.7),
            ),
            Row(label="ASGate (Ours)", figures=(1.77, 71.00, 83.81), size=(189.98, 170.9)),
        ),
        claims=(Claim(above=3, below=(1, 2), about="ASGate"),),
    ),
)
