// build: -static-pie
#include "guest.h"

static const char *const names[] = {"relocated", "pointers"};

/* A static program that relocates itself. */
int main(void)
{
	hop();
	place(1);
	printf("%s %s\n", names[0], names[1]);
	success();
	return 0;
}
