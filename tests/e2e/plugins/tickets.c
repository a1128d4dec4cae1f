/* A plugin in C: answers every request with one ticket. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        fputs("{\"result\":[{\"id\":\"C-1\",\"title\":\"from C\",\"createdAt\":\"2026-03-01T12:00:00+02:00\"}]}\n", stdout);
        fflush(stdout);
    }
    free(line);
    return 0;
}
