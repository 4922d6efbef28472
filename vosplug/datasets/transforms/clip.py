"""The clip that transforms work on. Geometry is collected and done in one warp per frame."""

from collections.abc import Sequence

import cv2
import numpy as np

from ...utils.errors import DataError

MEAN_COLOUR = (124, 116, 104)  # ImageNet's mean, RGB, which models subtract: filled areas become zero


class Clip:
    """T pictures with their masks.

    Transforms describe geometry as matrices from the new canvas to the present one (continuous coordinates, the centre
    of the top-left pixel is (0.5, 0.5)); consecutive ones multiply, and the pixels are touched once, when
    :attr:`images` or :attr:`labels` is read. Pictures are interpolated (cubic, after area averaging where they shrink
    by two or more); masks are never interpolated: each pixel takes the nearest value, so no id can appear.

    Args:
        images: T pictures (H, W, 3) uint8 RGB. They may be smaller than their masks (reduced decoding).
        labels: T masks (H, W) uint8, all of one size; this size is the canvas.
        fill: colour of what no picture covers. Masks are background there.

    Raises:
        DataError: the numbers or sizes do not fit.
    """

    def __init__(self, images: Sequence[np.ndarray], labels: Sequence[np.ndarray],
                 fill: tuple[int, int, int] = MEAN_COLOUR):
        if not images or len(images) != len(labels):
            raise DataError(f"a clip needs as many masks as images, got {len(images)} images, {len(labels)} masks")
        sizes = {label.shape for label in labels}
        if len(sizes) > 1:
            raise DataError(f"the frames of a clip must have one size, got {sorted(sizes)}")
        self.fill = fill
        self._images = list(images)
        self._labels = list(labels)
        self._reset()

    def __len__(self) -> int:
        return len(self._images)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the canvas, with all geometry so far."""
        return self._size

    @property
    def images(self) -> list[np.ndarray]:
        """Pictures (H, W, 3) uint8 with all geometry applied. Assign a list to replace them."""
        self._apply()
        return self._images

    @images.setter
    def images(self, images: Sequence[np.ndarray]) -> None:
        self._apply()
        if [image.shape[:2] for image in images] != [self._size] * len(self):
            raise DataError(f"expected {len(self)} pictures of size {self._size}, "
                            f"got {[image.shape[:2] for image in images]}")
        self._images = list(images)

    @property
    def labels(self) -> list[np.ndarray]:
        """Masks (H, W) uint8 with all geometry applied."""
        self._apply()
        return self._labels

    def warp(self, matrices: Sequence[np.ndarray], size: tuple[int, int]) -> "Clip":
        """Add one affine map per frame.

        Args:
            matrices: T matrices (3, 3) from the new canvas to the present one.
            size: (H, W) of the new canvas. What lies outside the present canvas is filled.
        """
        for t, matrix in enumerate(matrices):
            borders = [(border @ matrix, extent) for border, extent in self._borders[t]]
            self._borders[t] = [*borders, (matrix, self._size)]
            self._matrices[t] = self._matrices[t] @ matrix
        self._size, self._pending = tuple(size), True
        return self

    def remap(self, grids: Sequence[np.ndarray | None]) -> "Clip":
        """Apply one dense map per frame, together with the geometry that is pending; the canvas keeps its size.

        Args:
            grids: T arrays (H, W, 2) float, the (x, y) on the present canvas that each pixel takes; None keeps a frame.
        """
        for t, grid in enumerate(grids):
            if grid is None:
                self._warp_frame(t)
            else:
                self._remap_frame(t, grid)
        self._reset()
        return self

    def _reset(self) -> None:
        self._size = self._labels[0].shape
        self._matrices = [np.eye(3) for _ in self._images]
        self._borders: list[list] = [[] for _ in self._images]
        self._pending = any(image.shape[:2] != self._size for image in self._images)

    def _apply(self) -> None:
        if self._pending:
            for t in range(len(self)):
                self._warp_frame(t)
            self._reset()

    def _warp_frame(self, t: int) -> None:
        matrix = self._matrices[t]
        image, inner = _picture_for(self._images[t], self._labels[t].shape, matrix)
        height, width = self._size
        if _is_resize(matrix, self._labels[t].shape, self._size):
            shrinks = image.shape[0] > height or image.shape[1] > width
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            self._images[t] = cv2.resize(image, (width, height), interpolation=method)
        else:
            # The edge is replicated, so that the fill does not bleed into the last pixels; the rest is filled below.
            self._images[t] = cv2.warpAffine(image, _pixel_matrix(inner), (width, height),
                                             borderMode=cv2.BORDER_REPLICATE,
                                             flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        self._labels[t] = cv2.warpAffine(self._labels[t], _pixel_matrix(matrix), (width, height), borderValue=0,
                                         flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
        self._fill_outside(t)

    def _remap_frame(self, t: int, grid: np.ndarray) -> None:
        matrix = self._matrices[t]
        image, inner = _picture_for(self._images[t], self._labels[t].shape, matrix)
        self._images[t] = cv2.remap(image, *_pixel_maps(inner, grid), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        self._labels[t] = cv2.remap(self._labels[t], *_pixel_maps(matrix, grid), cv2.INTER_NEAREST, borderValue=0)
        for border, (height, width) in [*self._borders[t], (np.eye(3), self._size)]:
            x, y = _transformed(border, grid)
            self._fill(t, (x < 0) | (y < 0) | (x > width) | (y > height))

    def _fill_outside(self, t: int) -> None:
        outside = np.zeros(self._size, bool)
        for border, (height, width) in self._borders[t]:
            corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], float)
            outside |= ~_inside((np.linalg.inv(border) @ corners.T).T[:, :2], self._size)
        self._fill(t, outside)

    def _fill(self, t: int, where: np.ndarray) -> None:
        if where.any():
            self._images[t][where] = self.fill
            self._labels[t][where] = 0


def _picture_for(image: np.ndarray, canvas: tuple[int, int], matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture to sample, shrunk by averaging where the warp would skip pixels, and its matrix."""
    scale = np.diag([image.shape[1] / canvas[1], image.shape[0] / canvas[0], 1.0])
    inner = scale @ matrix
    factor = int(np.linalg.svd(inner[:2, :2], compute_uv=False)[-1])
    if factor >= 2:
        height, width = (max(1, round(extent / factor)) for extent in image.shape[:2])
        inner = np.diag([width / image.shape[1], height / image.shape[0], 1.0]) @ inner
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return image, inner


def _pixel_matrix(matrix: np.ndarray) -> np.ndarray:
    """OpenCV's (2, 3) matrix between pixel indices for a map between continuous coordinates."""
    offset = matrix @ np.array([0.5, 0.5, 1.0])
    result = matrix[:2].copy()
    result[:, 2] = offset[:2] - 0.5
    return result


def _transformed(matrix: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = grid[..., 0], grid[..., 1]
    return (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2], matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2])


def _pixel_maps(matrix: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = _transformed(matrix, grid)
    return (x - 0.5).astype(np.float32), (y - 0.5).astype(np.float32)


def _is_resize(matrix: np.ndarray, source: tuple[int, int], target: tuple[int, int]) -> bool:
    return np.allclose(matrix, np.diag([source[1] / target[1], source[0] / target[0], 1.0]), atol=1e-9)


def _inside(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the centre of the pixel is in the convex polygon ``corners`` (4, 2), whichever way round it is."""
    edges = np.roll(corners, -1, 0) - corners
    turn = np.sign(edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0])
    y = np.arange(size[0]) + 0.5
    low, high = np.full(size[0], -np.inf), np.full(size[0], np.inf)
    for (edge_x, edge_y), (corner_x, corner_y) in zip(turn * edges, corners, strict=True):
        if abs(edge_y) < 1e-9:  # horizontal: all of a row, or nothing
            low[edge_x * (y - corner_y) < -1e-6] = np.inf
        else:
            limit = corner_x + edge_x * (y - corner_y) / edge_y
            low, high = (low, np.minimum(high, limit)) if edge_y > 0 else (np.maximum(low, limit), high)
    x = np.arange(size[1]) + 0.5
    return (x >= low[:, None] - 1e-6) & (x <= high[:, None] + 1e-6)
