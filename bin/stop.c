/* Stopping on signals; see stop.h. */
#include "stop.h"

#include "sched/sched.h"

#include <unistd.h>

volatile sig_atomic_t cop_stop_asked;

static void asked(int sig)
{
	if (cop_stop_asked && sig == SIGINT)
		_exit(130);
	cop_stop_asked = 1;
	cop_local_stop();
}

void cop_stop_on_signals(void)
{
	struct sigaction a = {.sa_handler = asked, .sa_flags = SA_RESTART};
	sigemptyset(&a.sa_mask);
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
	sigaction(SIGUSR1, &a, NULL);
}
