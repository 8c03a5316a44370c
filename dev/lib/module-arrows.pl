#!/usr/bin/env perl
# Holds the modules of a folder of src to the table at the head of its root: what each uses of the others.
# Usage: module-arrows.pl ROOT FILE…, the root being src/lib.rs or some src/…/mod.rs. Prints each offence as file:line.
# With src/lib.rs also each circle of modules that lie side by side, however deep in the tree.
use strict;
use warnings;

my $map = shift @ARGV;
my ($home) = $map =~ m{^(.*)/};
# Where the root is below the crate.
my @root = grep { $_ ne 'src' } split m{/}, $home;

# read_text FILE: the text with comments and the contents of strings taken out, line for line.
sub read_text {
    my ($file) = @_;
    open my $handle, '<', $file or die "$file: $!\n";
    local $/;
    my $text = <$handle>;
    $text =~ s{//[^\n]*}{}g;
    $text =~ s{"((?:[^"\\]|\\.)*)"}{(my $kept = $1) =~ tr/\n//cd; qq("$kept")}gse;
    return $text;
}

# paths TREE: each path of a tree of `use`, as a list of its segments.
sub paths {
    my ($tree) = @_;
    $tree =~ s/\s+as\s+\w+//g;
    $tree =~ s/\s+//g;
    my ($prefix, $inner) = $tree =~ /^([^{]*)\{(.*)\}$/s or return [split /::/, $tree];
    my ($depth, @branches) = (0, '');
    for my $character (split //, $inner) {
        $depth++ if $character eq '{';
        $depth-- if $character eq '}';
        if ($character eq ',' && $depth == 0) { push @branches, '' }
        else                                  { $branches[-1] .= $character }
    }
    my @prefix = split /::/, $prefix;
    return map { [@prefix, @$_] } map { paths($_) } grep { length } @branches;
}

# below_root MODULE PATH: the path below the root, from a module below it; none of what is elsewhere.
sub below_root {
    my ($module, @path) = @_;
    my $first = shift @path // '';
    if ($first eq 'crate') {
        for my $segment (@root) { return () unless @path && shift(@path) eq $segment }
        return @path;
    }
    return () unless $first eq 'super' || $first eq 'self';
    my @base = @$module;
    while ($first eq 'super') {
        return () unless @base;
        pop @base;
        $first = shift @path // '';
    }
    return $first eq 'self' ? (@base, @path) : (@base, $first, @path);
}

# What the table says: folder => the others that it may use.
my %uses;
open my $handle, '<', $map or die "$map: $!\n";
while (<$handle>) {
    my ($folder, $others) = m{^//! \| \[`(\w+)`\] \|[^|]*\|([^|]*)\|} or next;
    my @others = $others =~ /`(\w+)`/g;
    for my $other (@others) {
        print "$map:$.: $folder uses $other, which is not above it in the table\n" unless $uses{$other};
    }
    $uses{$folder} = { map { $_ => 1 } @others };
}
close $handle;
print "$map:1: its table has no folders: does this rule still hold?\n" unless %uses;

# What each module uses of those beside it: module => { other => a place where it does }.
my %beside;

# note_beside MODULE TARGET PLACE: notes it for the two ancestors that lie beside each other.
sub note_beside {
    my ($module, $target, $place) = @_;
    my $common = 0;
    $common++ while $common < @$module && $common < @$target && $module->[$common] eq $target->[$common];
    return if $common >= @$module || $common >= @$target;
    my ($from, $to) = map { join '/', @{$_}[0 .. $common] } $module, $target;
    $beside{$from}{$to} //= $place;
}

for my $file (@ARGV) {
    my ($folder, $rest) = $file =~ m{^\Q$home\E/(\w+)(?:/(.*))?\.rs$} or next;
    next if !$rest && $folder =~ /^(?:lib|main|mod)$/;
    # Beside its folders a root may have files of its own.
    next if !$rest && @root && !$uses{$folder};
    unless ($uses{$folder}) {
        print "$file:1: $folder is not in the table of $map\n";
        next;
    }
    my @module = ($folder, grep { $_ ne 'mod' } split m{/}, $rest // '');
    my $text   = read_text($file);
    my %told;
    my $check = sub {
        my ($at, $depth, @path) = @_;
        my @target = below_root([@module, ('') x $depth], @path) or return;
        note_beside(\@module, \@target, "$file:" . (1 + (substr($text, 0, $at) =~ tr/\n//))) if !@root && !$depth;
        my $other  = $target[0];
        return if $other eq $folder || $uses{$folder}{$other};
        my $line = 1 + (substr($text, 0, $at) =~ tr/\n//);
        print "$file:$line: $folder uses $other, which the table of $map does not allow\n" unless $told{$other}++;
    };
    while ($text =~ /^([ ]*)(?:pub(?:\([^)]*\))? )?use ([^;]+);/mg) {
        my ($at, $indent, $tree) = ($-[2], $1, $2);
        $check->($at, length($indent) ? 1 : 0, @$_) for paths($tree);
    }
    my $crate = join '::', 'crate', @root;
    while ($text =~ /(?<!\w)\Q$crate\E((?:::\w+)+)/g) {
        $check->($-[0], 0, split /::/, "$crate$1");
    }
}

# Circles: whoever is reached from what it uses itself. Only modules are: the last segments of a path may be names in one.
sub is_module { my ($name) = @_; return -e "$home/$name.rs" || -d "$home/$name" }

for my $from (sort keys %beside) {
    my (%seen, @open);
    @open = map { [$_] } grep { is_module($_) } sort keys %{ $beside{$from} };
    while (my $way = shift @open) {
        my $at = $way->[-1];
        if ($at eq $from) {
            # Each circle once, by its first module.
            print "$beside{$from}{$way->[0]}: a circle: $from -> ", join(' -> ', @$way), "\n"
                unless grep { $_ lt $from } @$way;
            last;
        }
        next if $seen{$at}++;
        push @open, map { [@$way, $_] } grep { is_module($_) } sort keys %{ $beside{$at} // {} };
    }
}
