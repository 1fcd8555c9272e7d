module popcorn

go 1.26
