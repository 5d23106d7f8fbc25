/* Temporary files: remembered until renamed or removed; a child leaves its parent's alone. */
#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char *begin(const char *path)
{
	char *name = cop_temporary_name(path);
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0666);
	assert_true(fd >= 0);
	close(fd);
	return name;
}

static void test_all_are_removed(void **state)
{
	(void)state;
	char *a = begin("a"), *b = begin("b");
	assert_string_not_equal(a, b);
	cop_temporaries_remove();
	assert_false(cop_exists(a));
	assert_false(cop_exists(b));
	cop_temporary_remove(a);
	cop_temporary_remove(b);
	free(a);
	free(b);
}

static void test_what_is_in_place_stays(void **state)
{
	(void)state;
	struct cop_err err = {0};
	char *a = begin("a");
	assert_int_equal(cop_rename_into_place(a, "a", &err), 0);
	/* a later file of the same temporary name is not ours any more */
	close(open(a, O_WRONLY | O_CREAT, 0666));
	cop_temporaries_remove();
	assert_true(cop_exists("a"));
	assert_true(cop_exists(a));
	unlink(a);
	unlink("a");
	free(a);
}

static void test_child_leaves_them_alone(void **state)
{
	(void)state;
	char *a = begin("a");
	pid_t child = fork();
	if (child == 0) {
		cop_temporaries_remove();
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(cop_exists(a));
	cop_temporary_remove(a);
	assert_false(cop_exists(a));
	free(a);
}

/* Places come free again: many more files than there are places, one after the other. */
static void test_places_come_free(void **state)
{
	(void)state;
	struct cop_err err = {0};
	for (int i = 0; i < 200; i++)
		assert_int_equal(cop_write_file("a", "x", 1, &err), 0);
	for (int i = 0; i < 200; i++)
		assert_int_equal(cop_write_file("nowhere/a", "x", 1, &err), COP_EFAILED);
	char *a = begin("a");
	cop_temporaries_remove();
	assert_false(cop_exists(a));
	cop_temporary_remove(a);
	free(a);
	unlink("a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_removed),
		cmocka_unit_test(test_what_is_in_place_stays),
		cmocka_unit_test(test_child_leaves_them_alone),
		cmocka_unit_test(test_places_come_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
