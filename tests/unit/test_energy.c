/* Counters of energy: folders made up like those of Linux, and a library that stands in for NVML. */
#include "base/energy.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/nvml.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "energy-XXXXXX";
static int online;

static void put(const char *zone, const char *file, const char *text)
{
	struct cop_err err = {0};
	char *at = cop_xasprintf("%s/%s", folder, zone), *path = cop_xasprintf("%s/%s", at, file);
	if (cop_mkdirs(at, &err) || cop_write_file(path, text, strlen(text), &err))
		fail_msg("%s", err.msg);
	free(path);
	free(at);
}

static void put_zone(const char *zone, const char *name, const char *energy)
{
	put(zone, "name", name);
	put(zone, "max_energy_range_uj", "65532610987\n");
	put(zone, "energy_uj", energy);
}

static void drop_file(const char *zone, const char *file)
{
	char *path = cop_xasprintf("%s/%s/%s", folder, zone, file);
	cop_remove(path);
	free(path);
}

static void drop_zone(const char *zone)
{
	char *path = cop_xasprintf("%s/%s", folder, zone);
	drop_file(zone, "name");
	drop_file(zone, "max_energy_range_uj");
	drop_file(zone, "energy_uj");
	cop_remove_if_empty(path);
	free(path);
}

static void gpus(const char *text)
{
	put(".", "gpus", text);
}

static void assert_near(double v, double wanted, double within)
{
	if (!(fabs(v - wanted) <= within))
		fail_msg("%.12g instead of %.12g", v, wanted);
}

static struct cop_energy *begin(int cores, int promised, int together)
{
	struct cop_energy_share s = {.cores = cores, .gpus = promised, .together = together};
	return cop_energy_open(&s);
}

static int set_up(void **state)
{
	(void)state;
	unsetenv("CUDA_VISIBLE_DEVICES");
	drop_file(".", "gpus");
	put_zone("intel-rapl:0", "package-0\n", "1000000\n");
	put_zone("intel-rapl:1", "package-1\n", "65532000000\n");
	return 0;
}

/* 2 J of one, 0.610987 + 1 J of the other, whose counter began again; half of the cores. */
static void test_packages(void **state)
{
	(void)state;
	put_zone("intel-rapl:0:0", "core\n", "5000000\n");
	put_zone("intel-rapl:0:1", "package-9\n", "5000000\n"); /* its place says that it is a part */
	put_zone("intel-rapl:2", "psys\n", "5000000\n");
	put_zone("intel-rapl-mmio:0", "package-0\n", "1000000\n");
	struct cop_energy *all = begin(online, 0, 0), *part = begin(1, 0, 0), *more = begin(online + 5, 0, 0);
	put("intel-rapl:0", "energy_uj", "3000000\n");
	put("intel-rapl:1", "energy_uj", "1000000\n");
	put("intel-rapl:0:0", "energy_uj", "9000000\n");
	put("intel-rapl:0:1", "energy_uj", "9000000\n");
	put("intel-rapl:2", "energy_uj", "9000000\n");
	put("intel-rapl-mmio:0", "energy_uj", "3000000\n");
	assert_near(cop_energy_read(all), 3.610987, 1e-9);
	assert_near(cop_energy_read(all), 3.610987, 1e-9);
	assert_near(cop_energy_read(part), 3.610987 / online, 1e-9);
	assert_near(cop_energy_read(more), 3.610987, 1e-9);
	put("intel-rapl:1", "energy_uj", "0\n"); /* round once more */
	assert_near(cop_energy_read(all), 3.610987 + 65531.610987, 1e-6);
	assert_true(cop_energy_gpus(all) == 0);
	cop_energy_free(all);
	cop_energy_free(part);
	cop_energy_free(more);
	const char *const others[] = {"intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:2", "intel-rapl-mmio:0"};
	for (size_t i = 0; i < 4; i++)
		drop_zone(others[i]);
}

static void test_what_cannot_be_read(void **state)
{
	(void)state;
	char text[200];
	struct cop_energy *e = begin(1, 0, 0);
	assert_int_equal(cop_energy_describe(text, sizeof(text)), 2);
	assert_string_equal(text, "counters of 2 processor packages, of no GPU");
	drop_file("intel-rapl:1", "energy_uj"); /* goes while under way */
	assert_true(isnan(cop_energy_read(e)));
	put("intel-rapl:1", "energy_uj", "65532000000\n");
	assert_true(isnan(cop_energy_read(e)));
	cop_energy_free(e);

	drop_file("intel-rapl:1", "energy_uj"); /* as for users who are not root: one package alone says nothing */
	e = begin(1, 0, 0);
	assert_true(isnan(cop_energy_read(e)));
	cop_energy_free(e);
	assert_int_equal(cop_energy_describe(text, sizeof(text)), 0);
	assert_non_null(strstr(text, "only root may read"));

	put("intel-rapl:1", "energy_uj", "no number\n");
	e = begin(1, 0, 0);
	assert_true(isnan(cop_energy_read(e)));
	cop_energy_free(e);

	drop_zone("intel-rapl:0");
	drop_zone("intel-rapl:1");
	e = begin(1, 0, 0);
	assert_true(isnan(cop_energy_read(e)));
	cop_energy_free(e);
	assert_int_equal(cop_energy_describe(text, sizeof(text)), 0);
	assert_string_equal(text, "counters of no processor, of no GPU");

	setenv("COPPICE_POWERCAP", "nowhere", 1);
	e = begin(1, 0, 0);
	assert_true(isnan(cop_energy_read(e)));
	cop_energy_free(e);
	setenv("COPPICE_POWERCAP", folder, 1);
	cop_energy_free(NULL);
}

/* Three devices; which of them, and how much of them, is counted. */
static void test_gpus(void **state)
{
	(void)state;
	static const struct {
		const char *visible;
		int promised, together;
		double joules, gpus;
	} of[] = {
		{NULL, 0, 0, 0, 0},     {NULL, 1, 0, 1, 1},    {NULL, 2, 0, 11, 2},         {NULL, 3, 2, 55.5, 1.5},
		{"2", 1, 0, 100, 1},    {"2,0", 0, 0, 101, 2}, {" 1 , 2", 0, 4, 27.5, 0.5}, {"GPU-b", 0, 0, 10, 1},
		{"0,-1,2", 0, 0, 1, 1}, {"", 3, 0, 0, 0},      {"NoDevFiles", 1, 0, 0, 0},
	};
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		gpus("GPU-a 500\nGPU-b 9000\nGPU-c 0\n");
		if (of[i].visible)
			setenv("CUDA_VISIBLE_DEVICES", of[i].visible, 1);
		struct cop_energy *e = begin(online, of[i].promised, of[i].together);
		gpus("GPU-a 1500\nGPU-b 19000\nGPU-c 100000\n");
		put_zone("intel-rapl:0", "package-0\n", "2000000\n");
		assert_near(cop_energy_read(e), 1 + of[i].joules, 1e-9);
		assert_near(cop_energy_gpus(e), of[i].gpus, 1e-12);
		cop_energy_free(e);
		put_zone("intel-rapl:0", "package-0\n", "1000000\n");
		unsetenv("CUDA_VISIBLE_DEVICES");
	}
	char text[200];
	assert_int_equal(cop_energy_describe(text, sizeof(text)), 5);
	assert_string_equal(text, "counters of 2 processor packages, of 3 GPUs");
}

/* A GPU that is there and cannot be counted leaves nothing to say; a processor that cannot leaves the GPU's. */
static void test_gpus_that_are_not_counted(void **state)
{
	(void)state;
	static const char *const visible[] = {"3", "GPU-x", "1", "0,1"};
	gpus("GPU-a 500\nGPU-b -1\n");
	for (size_t i = 0; i < 4; i++) {
		setenv("CUDA_VISIBLE_DEVICES", visible[i], 1);
		struct cop_energy *e = begin(1, 0, 0);
		assert_true(isnan(cop_energy_read(e)));
		assert_true(cop_energy_gpus(e) == (i == 3 ? 2 : 1));
		cop_energy_free(e);
	}
	setenv("CUDA_VISIBLE_DEVICES", "0", 1);
	drop_file("intel-rapl:0", "energy_uj");
	struct cop_energy *e = begin(1, 0, 0);
	gpus("GPU-a 750\nGPU-b -1\n");
	assert_near(cop_energy_read(e), 0.25, 1e-12);
	gpus("GPU-a 600\nGPU-b -1\n");
	assert_near(cop_energy_read(e), 0.1, 1e-12);
	gpus("GPU-a 100\nGPU-b -1\n"); /* the driver was loaded again */
	assert_true(isnan(cop_energy_read(e)));
	cop_energy_free(e);
	drop_file(".", "gpus"); /* the library does not start */
	e = begin(1, 0, 0);
	assert_true(isnan(cop_energy_read(e)));
	cop_energy_free(e);
	setenv("COPPICE_NVML", "nowhere.so", 1);
	e = begin(1, 0, 0);
	assert_true(isnan(cop_energy_read(e)));
	cop_energy_free(e);
}

/* The mean of what the GPUs say; the same however often it is asked for, and whatever counts of energy there are. */
static void test_how_busy(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int promised;
		double busy; /* NaN: not known */
	} of[] = {
		{"GPU-a 500 37\n", 1, 0.37},
		{"GPU-a 500 30\nGPU-b 1 80\n", 2, 0.55},
		{"GPU-a -1 100\n", 1, 1},
		{"GPU-a 500 0\n", 1, 0},
		{"GPU-a 500 400\n", 1, 1},
		{"GPU-a 500 -1\n", 1, NAN},
		{"GPU-a 500 7\nGPU-b 1 -1\n", 2, NAN},
		{"GPU-a 500 50\n", 0, NAN},
	};
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		gpus(of[i].text);
		double begun = cop_now();
		struct cop_energy *e = begin(1, of[i].promised, 3);
		for (int k = 0; k < 3; k++) {
			usleep(5000);
			struct cop_gpu_time t = cop_energy_gpu_time(e);
			bool all = t.watched > 0.0049 * (k + 1) && t.watched <= cop_now() - begun;
			assert_true(isnan(of[i].busy) ? t.watched == 0 : all);
			assert_near(t.busy, isnan(of[i].busy) ? 0 : of[i].busy * t.watched, 1e-12);
		}
		cop_energy_free(e);
	}
}

/* Without anybody asking, each moment counts for what was said then; one in which nothing was said does not count. */
static void test_how_busy_over_time(void **state)
{
	(void)state;
	drop_zone("intel-rapl:0"); /* so that it is for the GPUs that there is a thread */
	drop_zone("intel-rapl:1");
	gpus("GPU-a 500 100\n");
	double before = cop_now();
	struct cop_energy *e = begin(1, 1, 0);
	double begun = cop_now();
	usleep(2500000); /* asked after 1 s and 2 s */
	gpus("GPU-a 500 0\n");
	double least = cop_now() - begun;
	struct cop_gpu_time t = cop_energy_gpu_time(e), later;
	assert_true(t.watched >= least && t.watched <= cop_now() - before);
	assert_true(t.busy > 0.99 && t.busy < t.watched - 0.1);
	gpus("GPU-a 500 -1\n");
	usleep(10000);
	later = cop_energy_gpu_time(e);
	assert_true(later.watched == t.watched && later.busy == t.busy);
	gpus("GPU-a 500 50\n");
	usleep(10000);
	later = cop_energy_gpu_time(e);
	assert_true(later.watched - t.watched > 0.0099);
	assert_near(later.busy - t.busy, 0.5 * (later.watched - t.watched), 1e-9);
	cop_energy_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_packages, set_up),
		cmocka_unit_test_setup(test_what_cannot_be_read, set_up),
		cmocka_unit_test_setup(test_gpus, set_up),
		cmocka_unit_test_setup(test_how_busy, set_up),
		cmocka_unit_test_setup(test_how_busy_over_time, set_up),
		cmocka_unit_test_setup(test_gpus_that_are_not_counted, set_up),
	};
	if (!mkdtemp(folder))
		return 1;
	char *beside = cop_program_folder(), *library = cop_xasprintf("%s/fake_nvml.so", beside),
	     *devices = cop_xasprintf("%s/gpus", folder);
	online = (int)sysconf(_SC_NPROCESSORS_ONLN);
	setenv("COPPICE_POWERCAP", folder, 1);
	setenv("COPPICE_NVML", library, 1);
	setenv("FAKE_NVML", devices, 1);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	drop_file(".", "gpus");
	drop_zone("intel-rapl:0");
	drop_zone("intel-rapl:1");
	cop_remove_if_empty(folder);
	free(devices);
	free(library);
	free(beside);
	return failed;
}
