import torch

from conformance import ModelConformance
from exporters.config import ExportConfig
from exporters.wrappers.modalities import modality_encoder
from zoo.models.qwen2_5_vl import QWEN2_5_VL_3B


class TestQwen2_5_VL(ModelConformance):
    model = QWEN2_5_VL_3B

    def test_most_layers_attend_within_windows_that_differ_in_size(self, twin):
        within, across = modality_encoder(twin, ExportConfig()).lengths
        assert sorted(within) == [4, 8, 8, 16]
        assert across == [36]

    def test_windows_reorder_the_patches(self, twin):
        encoder = modality_encoder(twin, ExportConfig())
        assert encoder.order.tolist() != list(range(9))
        assert encoder.order[encoder.back].tolist() == list(range(9))

    def test_text_goes_on_behind_the_rows_of_an_image(self, twin, shown):
        tokens, given = shown(twin)
        places, _ = twin.model.get_rope_index(
            tokens, mm_token_type_ids=given["mm_token_type_ids"], image_grid_thw=given["image_grid_thw"]
        )
        image = tokens[0] == twin.config.image_token_id
        rows = places[1, 0, image]
        assert rows.tolist() == [rows[0] + row for row in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
        after = int(image.nonzero()[-1, 0]) + 1
        assert torch.equal(places[:, 0, after], torch.full((3,), int(rows[-1]) + 1))
