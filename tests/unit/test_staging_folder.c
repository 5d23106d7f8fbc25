/* Staging: the hash of files, the variables in a stage, and the folder. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/xxhash.h"
#include "sweep/staging.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/coppice-test-staging.XXXXXX";

/* The last line of the log. */
static char said[1200];
static void line(enum cop_log_level level, const char *text, void *user)
{
	(void)level;
	(void)user;
	snprintf(said, sizeof(said), "%s", text);
}
static const struct cop_log_sink sink = {.line = line};

/* Known values, from the description's own test vectors and another implementation. */
static void test_hash(void **state)
{
	(void)state;
	unsigned char bytes[100];
	for (int i = 0; i < 100; i++)
		bytes[i] = (unsigned char)i;
	static const struct {
		const char *text;
		uint64_t hash;
	} known[] = {{"", UINT64_C(0xef46db3751d8e999)},
		     {"a", UINT64_C(0xd24ec4f1a98c6e5b)},
		     {"abc", UINT64_C(0x44bc2cf5ad770999)}};
	struct cop_xxh h;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		cop_xxh_begin(&h);
		cop_xxh_add(&h, known[i].text, strlen(known[i].text));
		assert_true(cop_xxh_end(&h) == known[i].hash);
	}
	for (size_t a = 0; a <= 100; a++)
		for (size_t b = a; b <= 100; b += 7) {
			cop_xxh_begin(&h);
			cop_xxh_add(&h, bytes, a);
			cop_xxh_add(&h, bytes + a, b - a);
			cop_xxh_add(&h, bytes + b, 100 - b);
			assert_true(cop_xxh_end(&h) == UINT64_C(0x6ac1e58032166597));
		}
}

static void expands(const char *text, const char *to)
{
	struct cop_err err = {0};
	char *out = NULL;
	assert_int_equal(cop_staging_expand(text, &out, &err), 0);
	assert_string_equal(out, to);
	free(out);
}

static void expands_not(const char *text, const char *says)
{
	struct cop_err err = {0};
	char *out = NULL;
	assert_int_equal(cop_staging_expand(text, &out, &err), COP_EINPUT);
	assert_null(out);
	assert_non_null(strstr(err.msg, says));
}

static void test_expansion(void **state)
{
	(void)state;
	setenv("COP_A1", "x", 1);
	setenv("COP_A", "/tmp/y z", 1);
	setenv("COP_EMPTY", "", 1);
	unsetenv("COP_NONE");
	expands("/scratch", "/scratch");
	expands("/scratch/$COP_A1/b", "/scratch/x/b");
	expands("$COP_A", "/tmp/y z");
	expands("${COP_A}1/$COP_A1", "/tmp/y z1/x");
	expands("/a$$b$$", "/a$b$");
	expands_not("/s/$COP_NONE", "the variable COP_NONE is not set");
	expands_not("${COP_NONE}", "the variable COP_NONE is not set");
	expands_not("/s/$COP_EMPTY", "the variable COP_EMPTY is empty");
	expands_not("/s/$", "'$' is neither");
	expands_not("/s/$1", "'$1' is neither");
	expands_not("/s/${COP_A", "'${COP_A' is neither");
	expands_not("/s/${COP_A:-/tmp}", "is neither");
	expands_not("/s/${}", "is neither");
}

static void not_staged(const char *where, const char *says)
{
	struct cop_staging s;
	said[0] = '\0';
	cop_staging_open(&s, where, NULL);
	assert_null(s.folder);
	if (!strstr(said, says))
		print_message("not '%s' but '%s'\n", says, said);
	assert_non_null(strstr(said, says));
	cop_staging_release(&s);
}

static void test_folders_that_will_not_do(void **state)
{
	(void)state;
	char *none = cop_xasprintf("%s/none", folder);
	char *mine = cop_xasprintf("%s/none/coppice-%lu", folder, (unsigned long)geteuid());
	not_staged("/tmp/$COP_NONE", "nothing is staged: 'device.stage' is '/tmp/$COP_NONE', but the variable");
	not_staged("/dev/null/x", "nothing is staged: cannot make folder");
	assert_int_equal(mkdir(none, 0700), 0);
	assert_int_equal(symlink(folder, mine), 0);
	not_staged(none, "nothing is staged: cannot open folder");
	unlink(mine);
	assert_int_equal(cop_write_file(mine, "x", 1, NULL), 0);
	not_staged(none, "nothing is staged: cannot open folder");
	unlink(mine);
	assert_int_equal(mkdir(mine, 0700) || chmod(mine, 0770), 0);
	not_staged(none, "is open to others (its mode is 770, not 700)");
	said[0] = '\0';
	struct cop_staging s;
	cop_staging_open(&s, "", NULL);
	assert_null(s.folder);
	assert_string_equal(said, "");
	rmdir(mine);
	rmdir(none);
	free(mine);
	free(none);
}

static void pass_over(const char *test, const char *why)
{
	printf("ok %s # SKIP %s\n", test, why);
	fflush(stdout);
	skip();
}

static void test_folder_of_somebody_else(void **state)
{
	(void)state;
	if (geteuid() != 0)
		pass_over(__func__, "only root can give a folder away");
	char *mine = NULL;
	assert_int_equal(cop_staging_folder(folder, &mine, NULL), 0);
	assert_int_equal(chown(mine, 12345, 12345), 0);
	not_staged(folder, "belongs to user 12345, not to you");
	assert_int_equal(chown(mine, 0, 0), 0);
	rmdir(mine);
	free(mine);
}

static void test_folder_is_made(void **state)
{
	(void)state;
	struct stat st;
	struct cop_staging s;
	char *deep = cop_xasprintf("%s/a/b", folder);
	mode_t was = umask(0);
	said[0] = '\0';
	cop_staging_open(&s, deep, NULL);
	umask(was);
	assert_non_null(s.folder);
	assert_string_equal(said, "");
	assert_true(stat(s.folder, &st) == 0 && (st.st_mode & 07777) == 0700);
	cop_staging_release(&s);
	free(deep);
}

static void test_advice(void **state)
{
	(void)state;
	static const char *const fine[] = {"", "/scratch", "$SLURM_TMPDIR/x", "${TMPDIR}"};
	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		said[0] = '\0';
		cop_staging_advise(fine[i]);
		assert_string_equal(said, "");
	}
	cop_staging_advise("~/tmp");
	assert_non_null(strstr(said, "'device.stage' is '~/tmp', which is relative"));
}

static int make_folder(void **state)
{
	(void)state;
	cop_log_set_sink(&sink);
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	cop_log_set_sink(NULL);
	char *command = cop_xasprintf("rm -rf '%s'", folder);
	int rc = system(command);
	free(command);
	return rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_expansion),
		cmocka_unit_test(test_folder_is_made),
		cmocka_unit_test(test_folders_that_will_not_do),
		cmocka_unit_test(test_folder_of_somebody_else),
		cmocka_unit_test(test_advice),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
