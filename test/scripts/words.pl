# Hashes, sorting, regular expressions, formats, and a pipe to itself.
use strict;
use warnings;

my ($n) = @ARGV;
my (%count, $x);
$x = 42;
for my $i (1 .. $n) {
    $x = ($x * 1103515245 + 12345) % 2147483648;
    my $word = join '', map { chr 97 + ($x >> $_) % 7 } 3, 7, 11;
    $count{$word}++;
}
my @top = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
printf "%s %d\n", $_, $count{$_} for @top[0 .. 9];
my $text = join ' ', @top;
my $hits = () = $text =~ /\b[aeiou]\w[aeiou]\b/g;
print "$hits\n";
open my $pipe, '-|', 'echo from a child' or die $!;
print <$pipe>;
close $pipe or die;
exit 6;
