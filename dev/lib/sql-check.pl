# Prints each place in the files given where SQL is put together from what dev/sql-texts does not allow, as file:line.
# What a client sends has to reach Postgres as a parameter ($1), never as a piece of a statement's text.
#
# usage: perl sql-check.pl ALLOWED FILE...
use strict;
use warnings;

my $allowed_file = shift;
my (%allowed, %used);
open my $list, '<', $allowed_file or die "$allowed_file: $!";
while (<$list>) {
    next if /^\s*(#|$)/;
    my ($file, $text, $reason) = split ' ', $_, 3;
    die "$allowed_file:$.: no reason given\n" unless $reason;
    $allowed{"$file $text"} = $.;
}

my $SQL = qr/\b(?:SELECT|INSERT|UPDATE|DELETE|DROP|CREATE|ALTER|GRANT|SET|COPY|CASE WHEN|WITHIN GROUP|count\(\*\))/;
my $LITERAL = qr/r(#+)"(?<raw>.*?)"\g{-2}|"(?<plain>(?:[^"\\]|\\.)*)"/s;

sub check {
    my ($file, $code, $at, $text) = @_;
    # A constant is ours.
    return if $text =~ /^\{[A-Z_]+\}$/;
    my $key = "$file $text";
    return if $used{$key}++ || $allowed{$key};
    my $line = 1 + (substr($code, 0, $at) =~ tr/\n//);
    print "$file:$line: $text goes into SQL as text: bind it, or name it in $allowed_file with the reason\n";
}

for my $file (@ARGV) {
    open my $source, '<', $file or die "$file: $!";
    my $code = do { local $/; <$source> };
    $code =~ s/#\[cfg\(test\)\]\s*mod .*//s;
    # A comment's words are no SQL, and its apostrophes no quotes.
    $code =~ s{^(\s*)//.*$}{$1}mg;
    while ($code =~ /\b(?:format|write|writeln|concat)!\s*\(\s*(?:\w+\s*,\s*)?$LITERAL/g) {
        my ($at, $text) = ($-[0], $+{raw} // $+{plain});
        next unless $text =~ $SQL;
        $text =~ s/\{\{|\}\}//g;
        check($file, $code, $at, "{$1}") while $text =~ /\{([^{}]*)\}/g;
    }
    # A statement that is neither a literal nor a constant.
    while ($code =~ /\b(?:query|query_as|query_scalar|raw_sql|begin_with|with_sql)\s*(?:::<[^(]*>)?\(\s*([^"\sA-Zr)][^,)]*|r[^#"][^,)]*)/g) {
        check($file, $code, $-[0], $1) unless $1 =~ /^(?:include_str!|self\b|connection\b)/;
    }
    while ($code =~ /\.(?:execute|fetch_optional|fetch_all|fetch_one|prepare|copy_in_raw)\(\s*([^"\s)][^)]*?)\s*\)/g) {
        my ($at, $text) = ($-[0], $1);
        $text =~ s/\(.*//s;
        # What runs a query that was made elsewhere has a connection there.
        check($file, $code, $at, $text) unless $text =~ /^(?:&mut |connection|transaction|snapshot|pool|[A-Z_]+$)/;
    }
    # A list has a push, too: only what is declared as a builder of queries counts, and what is chained to one.
    my $builders = join '|', $code =~ /\b(\w+)\s*(?::\s*&?(?:mut )?|=\s*)QueryBuilder\b/g;
    if ($builders) {
        check($file, $code, $-[0], "push($1)") while $code =~ /(?:\b(?:$builders)|\))\s*\.push\(\s*([^"\s][^)]*)\)/g;
    }
}

for my $key (sort keys %allowed) {
    print "$allowed_file:$allowed{$key}: $key is nowhere any more\n" unless $used{$key};
}
