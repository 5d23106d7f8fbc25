/* kernels/gather.cu against the CPU backend: the same bits for images that stand or are moved, 1e-5 for boxes. */
#include "gpu.h"

#include <stdlib.h>
#include <string.h>

enum { IMAGES = 7, KINDS = 4 };
enum kind { STILL, MOVED, BOXED, MIXED };

static struct cop_pick draw_pick(uint64_t *r, const struct cop_image_source *s, enum kind kind)
{
	struct cop_pick p = {.index = (uint32_t)gpu_between(r, 0, IMAGES - 1)};
	if (kind == STILL || gpu_between(r, 0, 3) == 0)
		return p;
	p.flip = gpu_between(r, 0, 1);
	if (kind == MOVED || (kind == MIXED && gpu_between(r, 0, 1))) {
		p.dy = (int16_t)gpu_between(r, -8, 8);
		p.dx = (int16_t)gpu_between(r, -8, 8);
		return p;
	}
	p.box.height = (uint16_t)gpu_between(r, 1, s->height);
	p.box.width = (uint16_t)gpu_between(r, 1, s->width);
	p.box.top = (uint16_t)gpu_between(r, 0, s->height - p.box.height);
	p.box.left = (uint16_t)gpu_between(r, 0, s->width - p.box.width);
	return p;
}

static void gather_case(uint64_t seed, const struct cop_launch *l)
{
	static const int batches[] = {1, 3, 16, 33}, sizes[] = {1, 5, 8, 9, 13, 16};
	uint64_t r = seed;
	enum kind kind = (enum kind)(seed % KINDS);
	struct cop_image_source s = {.height = gpu_one_of(&r, 6, sizes),
				     .width = gpu_one_of(&r, 6, sizes),
				     .channels = gpu_between(&r, 1, COP_GATHER_CHANNELS)};
	int batch = gpu_one_of(&r, 4, batches), n = gpu_between(&r, 0, 3) ? batch : gpu_between(&r, 0, batch);
	struct cop_shape shape = {s.channels, s.height, s.width, batch, cop_leading(&cop_cpu_backend, batch)};
	size_t bytes = (size_t)(IMAGES * s.height * s.width * s.channels), numbers = (size_t)s.channels * sizeof(float);
	gpu_case("gather: seed %d, element %d, kind %d, %dx%dx%d, %d of %d", (int)seed, (int)l->element, (int)kind,
		 s.height, s.width, s.channels, n, batch);
	uint8_t *images = gpu_host(bytes);
	for (size_t i = 0; i < bytes; i++)
		images[i] = (uint8_t)gpu_between(&r, 0, 255);
	float *scale = gpu_random(&r, COP_GATHER_CHANNELS, 0.001f, 0.02f);
	float *shift = gpu_random(&r, COP_GATHER_CHANNELS, -2, 2);
	struct cop_pick *pick = gpu_host((size_t)batch * sizeof(*pick));
	memset(pick, 0, (size_t)batch * sizeof(*pick));
	for (int i = 0; i < n; i++)
		pick[i] = draw_pick(&r, &s, kind);
	s.images = images;
	s.scale = scale;
	s.shift = shift;
	struct cop_image_source on_device = s;
	on_device.images = gpu_put(images, bytes);
	on_device.scale = gpu_put(scale, numbers);
	on_device.shift = gpu_put(shift, numbers);
	/* the CPU takes sixteen images at a time, all of ld */
	float *want = gpu_host_activation(&shape);
	if (n > 0)
		cop_cpu_backend.gather(&s, pick, n, shape.ld, want);
	void *x = gpu_alloc_activation(l, &shape);
	gpu_ok(cop_cuda_gather(l, &on_device, gpu_put(pick, (size_t)batch * sizeof(*pick)), n, batch, x));
	bool exact = kind == STILL || kind == MOVED;
	gpu_same_activation("x", l, &shape, x, exact ? gpu_round(l, gpu_count(&shape), want) : want,
			    exact ? 0 : gpu_tolerance(l));
	gpu_end();
}

static void test_gather(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++)
		gather_case(seed, &gpu_launches[seed / KINDS % GPU_ELEMENTS]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gather),
	};
	return cmocka_run_group_tests(tests, gpu_setup, gpu_teardown);
}
