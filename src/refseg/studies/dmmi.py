"""Tables of DMMI (Y. Hu et al., ICCV 2023)."""

from refseg.studies.study import Claim, Column, Row, Study

STUDIES = (
    Study(
        name="dmmi_table1",
        network="dmmi",
        table="Table 1: main results",
        recipe="dmmi_DATA",
        protocol="dmmi",
        notes=(
            "DATA is `refcoco`, `refcoco+`, `refcocog_umd` (U), `refcocog_google` (G).",
            "Figures of LTS, VLT, CRIS and CGAN, which stand under oIoU here, stand under mIoU in CMIRNet's Table I.",
        ),
        columns=(
            Column(title="RefCOCO val", metric="oIoU", data="refcoco"),
            Column(title="RefCOCO testA", metric="oIoU", split="testA", data="refcoco"),
            Column(title="RefCOCO testB", metric="oIoU", split="testB", data="refcoco"),
            Column(title="RefCOCO+ val", metric="oIoU", data="refcoco+"),
            Column(title="RefCOCO+ testA", metric="oIoU", split="testA", data="refcoco+"),
            Column(title="RefCOCO+ testB", metric="oIoU", split="testB", data="refcoco+"),
            Column(title="G-Ref val (U)", metric="oIoU", data="refcocog_umd"),
            Column(title="G-Ref test (U)", metric="oIoU", split="test", data="refcocog_umd"),
            Column(title="G-Ref val (G)", metric="oIoU", data="refcocog_google"),
        ),
        rows=(
            Row(
                label="dmmi_DATA_resnet101",
                recipe="dmmi_DATA_resnet101",
                figures=(68.56, 71.25, 63.16, 57.90, 62.31, 50.27, 59.02, 59.24, 55.13),
            ),
            Row(label="dmmi_DATA", figures=(74.13, 77.13, 70.16, 63.98, 69.73, 57.03, 63.46, 64.19, 61.98)),
        ),
        figures_only=(
            Row(label="RRN [16]", figures=(55.33, 57.26, 53.93, 39.75, 41.25, 36.11, None, None, 36.45)),
            Row(label="MAttNet [51]", figures=(56.51, 62.37, 51.70, 46.67, 52.39, 40.08, 47.64, 48.61, None)),
            Row(label="CAC [4]", figures=(58.90, 61.77, 53.81, None, None, None, 46.37, 46.95, 44.32)),
            Row(label="LSCM [18]", figures=(61.47, 64.99, 59.55, 49.34, 53.12, 43.50, None, None, 48.05)),
            Row(label="CMPC+ [30]", figures=(62.47, 65.08, 60.82, 50.25, 54.04, 43.47, None, None, 49.89)),
            Row(label="MCN [35]", figures=(62.44, 64.20, 59.71, 50.62, 54.99, 44.69, 49.22, 49.40, None)),
            Row(label="EFN [9]", figures=(62.76, 65.69, 59.67, 51.50, 55.24, 43.01, None, None, 51.93)),
            Row(label="BUSNet [47]", figures=(63.27, 66.41, 61.39, 51.76, 56.87, 44.13, None, None, 50.56)),
            Row(label="CGAN [34]", figures=(64.86, 68.04, 62.07, 51.03, 55.51, 44.06, 51.01, 51.69, 46.54)),
            Row(label="LTS [19]", figures=(65.43, 67.76, 63.08, 54.21, 58.32, 48.02, 54.40, 54.25, None)),
            Row(label="VLT [7]", figures=(65.65, 68.29, 62.73, 55.50, 59.20, 49.36, 52.99, 56.65, 49.76)),
            Row(label="ReSTR [22]", figures=(67.22, 69.30, 64.45, 55.78, 60.44, 48.27, None, None, 54.48)),
            Row(label="CRIS [44]", figures=(70.47, 73.18, 66.10, 62.27, 68.08, 53.68, 59.87, 60.36, None)),
            Row(label="LAVT [48]", figures=(72.73, 75.82, 68.79, 62.14, 68.38, 55.10, 61.24, 62.09, 60.50)),
        ),
        claims=(Claim(above=2, below=(1,), about="Swin-B", metric="oIoU"),),
    ),
    Study(
        name="dmmi_table2",
        network="dmmi",
        table="Table 2: main results on Ref-ZOM",
        recipe="dmmi_refzom",
        protocol="dmmi",
        notes=(
            "The released weights of DMMI are reported with mIoU 68.25, the paper prints 68.21.",
            (
                "How the others were trained on Ref-ZOM is not said: here each as on its own data sets, at its own "
                "image size, and scored alike."
            ),
        ),
        columns=(
            Column(title="oIoU", metric="oIoU", split="test"),
            Column(title="mIoU", metric="mIoU", split="test"),
            Column(title="Acc", metric="Acc", split="test"),
        ),
        rows=(
            Row(label="DMMI", figures=(68.77, 68.21, 87.02)),
            Row(label="LAVT", recipe="lavt_refzom", figures=(64.45, 64.78, 83.11)),
            Row(label="VLT", recipe="vlt_refzom", figures=(60.21, 60.43, 79.26)),
            Row(label="CMPC", recipe="cmpc_refzom", figures=(56.19, 55.72, 77.01)),
        ),
        figures_only=(Row(label="MCN", figures=(55.03, 54.70, 75.81)),),
        claims=(Claim(above=1, below=(2, 3, 4), about="DMMI"),),
    ),
    Study(
        name="dmmi_table3",
        network="dmmi",
        table="Table 3: MBA and the image-to-text decoder",
        recipe="dmmi_DATA",
        small="dmmi_small",
        protocol="dmmi",
        notes=(
            (
                "With Swin-B. Two trainings for each row. Row 1 has no image-to-text decoder: with both losses off "
                "neither CCR nor the summary is built. Bi-D: both directions; MS: several scales."
            ),
            "Row 7 on G-Ref is Table 1's val (U).",
            (
                "On drawn scenes Acc is N-acc of protocol `dmmi`'s kind: share of no-target expressions with an empty "
                "mask; drawn scenes have them."
            ),
        ),
        columns=(
            Column(title="G-Ref oIoU", metric="oIoU", data="refcocog_umd"),
            Column(title="Ref-ZOM oIoU", metric="oIoU", split="test", data="refzom"),
            Column(title="Ref-ZOM Acc", metric="Acc", split="test", data="refzom"),
        ),
        rows=(
            Row(
                label="1: MBA",
                settings=("config.similarity=0", "config.contrastive=null"),
                figures=(61.76, 65.77, 83.91),
                size=(189.79, 334.7),
            ),
            Row(
                label="2: MBA, L_sim",
                settings=("config.contrastive=null",),
                figures=(62.47, 67.25, 85.55),
                size=(202.97, 334.7),
            ),
            Row(
                label="3: MBA, L_con",
                settings=("config.similarity=0",),
                figures=(62.13, 66.36, 84.73),
                size=(192.74, 334.7),
            ),
            Row(
                label="4: L_sim, L_con",
                settings=("config.regions=[1]", "config.windows=[]"),
                figures=(62.05, 67.13, 85.09),
                size=(169.20, 322.0),
            ),
            Row(
                label="5: Bi-D, L_sim, L_con",
                settings=("config.regions=[1]", "config.windows=[1]"),
                figures=(62.20, 67.31, 85.82),
                size=(179.83, 323.8),
            ),
            Row(
                label="6: MS, L_sim, L_con",
                settings=("config.windows=[]",),
                figures=(62.48, 67.52, 86.11),
                size=(188.17, 331.6),
            ),
            Row(label="7: all", figures=(63.46, 68.77, 87.02), size=(205.92, 334.7)),
        ),
        claims=(
            Claim(above=7, below=(1, 2, 3, 4, 5, 6), about="all of it"),
            Claim(above=2, below=(1,), about="L_sim"),
            Claim(above=3, below=(1,), about="L_con"),
            Claim(above=5, below=(4,), about="both directions"),
            Claim(above=6, below=(4,), about="several scales"),
        ),
    ),
)
